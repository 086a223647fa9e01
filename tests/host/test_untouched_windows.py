"""An interrupt or a failure anywhere inside a window of a long video leaves everything as it was.

The video has all that this pack brings together: windows, an image for each frame, a ControlNet and a T2I-Adapter with
a hint for each frame, and a curve and masks over the motion module.
"""

import comfy.model_management
import pytest
import torch
from animatelcm.host.image_to_video import apply_image_to_video
from animatelcm.host.long_video import long_video
from animatelcm.nodes.controls import MotionControl
from animatelcm.tests.host import snapshots
from animatelcm.tests.host.controls import control_net, controlled, hints, t2i_adapter
from animatelcm.tests.support import loaded_image_to_video, noise_for, run, tiny_model
from comfy.model_management import InterruptProcessingException
from comfy.patcher_extension import WrappersMP

FRAMES = 7
"""Two windows of four frames a step, which share one."""


class Breaks:
    """Raises at one of its calls: as a wrapper of the UNet, or as a hook of another network."""

    def __init__(self, call, error):
        self.left, self.error = call, error

    def __call__(self, called, *args, **kwargs):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return called(*args, **kwargs) if not isinstance(called, torch.nn.Module) else None


class Everything:
    """A long video with everything in it, and what all of that consists of."""

    def __init__(self, folder):
        self.motion = loaded_image_to_video(folder)
        self.control, self.adapter = control_net(), t2i_adapter()
        self.model = tiny_model()
        self.watch = snapshots.Watch(self.model)
        moved = MotionControl.execute(self.motion, 0.0, 1.0, "0: 1, 6: 0.5", torch.rand(FRAMES, 8, 8)).result[0]
        animated = apply_image_to_video(self.model, moved, noise_for(FRAMES, seed=5), 0.8, (1.0,) * 4, 1.0, None)
        self.windowed = long_video(animated, 4, 1, loop=False, freenoise=True)
        self.conds = controlled(self.control, hints(FRAMES), before=controlled(self.adapter, hints(FRAMES, 7)))
        self.complete = self.run()
        self.before = self.state()

    def networks(self):
        return (self.motion.patcher.model, self.motion.encoder.model, self.control.control_model,
                self.adapter.t2i_model)

    def run(self, model=None, **settings):
        positive, negative = self.conds
        return run(model or self.windowed, num_frames=FRAMES, cfg=1.5, positive=positive, negative=negative, **settings)

    def state(self):
        """Return every object that the networks and the conditionings' controls are made of."""
        *networks, adapter = self.networks()
        # In an adapter's other parts the host keeps the size of the last hint.
        parts = [*map(snapshots.parts_of, networks), dict(adapter.named_parameters())]
        pending = [entry["control"] for cond in self.conds for _, entry in cond]
        while pending:
            control = pending.pop()
            if control is not None:
                parts.append({name: value for name, value in vars(control).items() if "hint" in name})
                pending.append(control.previous_controlnet)
        return parts, [snapshots.options_of(patcher) for patcher in (self.motion.patcher, self.motion.encoder)]

    def check(self):
        (parts, options), (parts_before, options_before) = self.state(), self.before
        assert options == options_before
        assert [snapshots.changed(*pair) for pair in zip(parts_before, parts, strict=True)] == [[]] * len(parts)
        self.watch.check()
        assert torch.equal(self.run(), self.complete)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    return Everything(tmp_path_factory.mktemp("motion"))


ERRORS = [RuntimeError("another pack's failure"), InterruptProcessingException()]


@pytest.mark.parametrize("call", [0, 1, 3])
@pytest.mark.parametrize("error", ERRORS, ids=["failure", "interrupt"])
def test_inside_the_unet_of_a_window(everything, error, call):
    failing = everything.windowed.clone()
    failing.add_wrapper(WrappersMP.DIFFUSION_MODEL, Breaks(call, error))
    with pytest.raises(type(error)):
        everything.run(failing)
    everything.check()


@pytest.mark.parametrize("error", ERRORS, ids=["failure", "interrupt"])
@pytest.mark.parametrize("network", ["motion", "encoder", "control", "adapter"])
def test_inside_one_of_the_other_networks(everything, error, network):
    motion, encoder, control, adapter = everything.networks()
    broken = {"motion": motion.sites()["output", 4], "encoder": encoder, "control": control, "adapter": adapter}
    breaks = Breaks(1, error)
    handle = broken[network].register_forward_pre_hook(breaks)
    try:
        with pytest.raises(type(error)):
            everything.run()
    finally:
        handle.remove()
    assert breaks.left < 0
    everything.check()


def test_an_interrupt_between_two_windows(everything):
    """The host looks for one before each window."""
    interrupted = everything.windowed.clone()

    def interrupt(executor, *args, **kwargs):
        comfy.model_management.interrupt_current_processing()
        return executor(*args, **kwargs)

    interrupted.add_wrapper(WrappersMP.DIFFUSION_MODEL, interrupt)
    with pytest.raises(InterruptProcessingException):
        everything.run(interrupted)
    everything.check()


def test_everything_has_a_part_in_the_result(everything):
    """Otherwise the runs above would prove little."""
    plain = run(everything.windowed, num_frames=FRAMES, cfg=1.5)
    assert not torch.equal(plain, everything.complete)

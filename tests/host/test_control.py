"""ControlNets, T2I-Adapters and ControlNet-LoRAs with motion modules: a frame has its own hint, in windows too."""

import comfy.controlnet
import comfy.model_management
import pytest
import torch
from animatelcm.host.motion import apply_motion
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host import probe
from animatelcm.tests.host.controls import KINDS, control_net, controlled, hints, t2i_adapter
from animatelcm.tests.host.probe import STEPS, TOTAL, every_schedule
from animatelcm.tests.support import SCHEDULE, conditioning, relative_rms, run, with_windows
from comfy.cldm.control_types import UNION_CONTROLNET_TYPES
from comfy.model_management import InterruptProcessingException
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_controlnet import SetUnionControlNetType


def apply(model, motion, strength=1.0):
    return apply_motion(model, motion, strength, SCHEDULES[SCHEDULE])


def sample(model, conds, **settings):
    positive, negative = conds
    return run(model, positive=positive, negative=negative, **settings)


def numbered(count):
    """Return images that carry their number, b h w c."""
    return probe.frames(count, 3, 64).movedim(1, -1)


@every_schedule
def test_a_frame_has_its_own_hint(windowed):
    """In every window of a schedule, for a ControlNet and for the T2I-Adapter that it is chained to."""
    network, adapter, unet = probe.HintProbe(), probe.HintProbe(), probe.Probe()
    conds = controlled(probe.t2i_adapter(adapter), numbered(TOTAL))
    conds = controlled(probe.control_net(network), numbered(TOTAL), before=conds)
    probe.sample(unet.on(windowed), TOTAL, *conds, STEPS)
    assert network.frames == unet.frames
    assert network.hints == unet.frames
    assert adapter.hints == unet.frames


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize(("count", "expected"), [(1, 0), (12, None), (13, None), (40, None)])
def test_one_hint_is_for_all_frames_and_of_too_many_the_first_are_used(model, motion, windows, count, expected):
    applied = apply(model, motion)
    network, unet = probe.HintProbe(), probe.Probe()
    conds = controlled(probe.control_net(network), numbered(count))
    probe.sample(unet.on(with_windows(applied) if windows else applied), 12, *conds, cfg=1.0)
    assert network.hints == [[0] if count == 1 else frames for frames in unet.frames]


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("control", [control_net, t2i_adapter])
def test_too_few_hints_are_refused(model, motion, windows, control):
    applied = apply(model, motion)
    conds = controlled(control(), hints(11))
    with pytest.raises(ValueError, match="the video has 12 frames.* was given 11 images.*one for each frame"):
        sample(with_windows(applied) if windows else applied, conds, num_frames=12)


@pytest.mark.parametrize("kind", KINDS)
def test_windows_of_independent_frames_are_one_pass(model, motion, kind):
    """With the whole networks: hints and strength in windows are those of one pass."""
    still = apply(model, motion, strength=0.0)
    images, control = hints(6), KINDS[kind]()
    conds = controlled(control, images, strength=0.7)
    whole = sample(still, conds, num_frames=6, cfg=1.5)
    assert relative_rms(sample(with_windows(still), conds, num_frames=6, cfg=1.5), whole) < 1e-5
    for other in (controlled(control, images.flip(0), strength=0.7), controlled(control, images),
                  (conditioning(1), conditioning(2))):
        assert relative_rms(sample(with_windows(still), other, num_frames=6, cfg=1.5), whole) > 1e-3


def test_several_at_once_are_one_pass(model, motion):
    still = apply(model, motion, strength=0.0)
    conds = None
    for seed, kind in enumerate(KINDS):
        conds = controlled(KINDS[kind](), hints(6, seed), strength=0.5, before=conds)
    # The same object twice in the chain has two sets of hints, and one with a single hint goes between.
    same = control_net()
    for images in (hints(6, 20), hints(1, 21), hints(6, 22)):
        conds = controlled(same, images, strength=0.3, before=conds)
    whole = sample(still, conds, num_frames=6)
    assert relative_rms(sample(with_windows(still, overlap=2), conds, num_frames=6), whole) < 1e-5


def test_conditionings_together_and_apart_are_the_same(model, motion, monkeypatch):
    windowed = with_windows(apply(model, motion))
    conds = controlled(t2i_adapter(), hints(6), before=controlled(control_net(), hints(6)))
    together = sample(windowed, conds, num_frames=6, cfg=1.5)
    monkeypatch.setattr(type(windowed), "get_free_memory", lambda *args: 0)
    assert relative_rms(sample(windowed, conds, num_frames=6, cfg=1.5), together) < 1e-5


@pytest.mark.parametrize(("start", "end", "expected"), [
    (0.0, 1.0, [999, 749, 499, 249]), (0.0, 0.4, [999, 749]), (0.4, 1.0, [499, 249]), (0.2, 0.6, [749, 499])])
def test_start_and_end_are_honoured_in_every_window(model, motion, start, end, expected):
    network, unet = probe.HintProbe(), probe.Probe()
    conds = controlled(probe.control_net(network), numbered(9), start=start, end=end)
    probe.sample(unet.on(with_windows(apply(model, motion))), 9, *conds, cfg=1.0)
    windows = len(unet.frames) // 4
    assert [round(step) for step in network.timesteps] == [step for step in expected for _ in range(windows)]


def test_a_union_keeps_its_type_in_every_window(model, motion):
    network, unet = probe.HintProbe(), probe.Probe()
    control = SetUnionControlNetType.execute(probe.control_net(network), "depth").result[0]
    probe.sample(unet.on(with_windows(apply(model, motion))), 9, *controlled(control, numbered(9)), cfg=1.0)
    assert network.hints == unet.frames
    assert network.types == [[UNION_CONTROLNET_TYPES["depth"]]] * len(unet.frames)


class FailingAt:
    """Another pack's wrapper of the UNet, which fails or interrupts at one of its calls."""

    def __init__(self, call, error):
        self.left, self.error = call, error

    def __call__(self, executor, *args, **kwargs):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return executor(*args, **kwargs)


def state(conds):
    """Return what the controls of conditionings consist of, chained ones included, with tensors as themselves."""
    found, pending = [], [cond[1]["control"] for each in conds for cond in each]
    while pending:
        control = pending.pop()
        if control is not None:
            found.append({name: value for name, value in vars(control).items()
                          if name in ("cond_hint_original", "cond_hint", "control_input", "previous_controlnet")})
            pending.append(control.previous_controlnet)
    return found


@pytest.mark.parametrize("call", [0, 3])
@pytest.mark.parametrize("error", [RuntimeError("another pack's failure"), InterruptProcessingException()])
def test_controls_are_as_before_after_a_failure_in_a_window(model, motion, call, error):
    windowed = with_windows(apply(model, motion))
    originals = [control_net(), t2i_adapter()]
    conds = controlled(originals[0], hints(6), before=controlled(originals[1], hints(6)))
    complete = sample(windowed, conds, num_frames=6)
    before, weights = state(conds), originals[0].control_model.state_dict()
    copies = {key: value.clone() for key, value in weights.items()}
    failing = windowed.clone()
    failing.add_wrapper(WrappersMP.DIFFUSION_MODEL, FailingAt(call, error))
    with pytest.raises(type(error)):
        sample(failing, conds, num_frames=6)
    after = state(conds)
    assert [control.keys() for control in after] == [control.keys() for control in before]
    assert all(control[name] is value for control, old in zip(after, before, strict=True)
               for name, value in old.items())
    assert all(torch.equal(value, copies[key]) for key, value in weights.items())
    assert torch.equal(sample(windowed, conds, num_frames=6), complete)
    assert all(control.cond_hint_original is None for control in originals)


def test_an_interrupt_between_windows_leaves_controls_alone(model, motion):
    windowed = with_windows(apply(model, motion))
    conds = controlled(control_net(), hints(9))
    complete, before = sample(windowed, conds, num_frames=9), state(conds)
    with pytest.raises(InterruptProcessingException):
        sample(windowed, conds, num_frames=9,
               callback=lambda *args: comfy.model_management.interrupt_current_processing())
    assert all(control[name] is value for control, old in zip(state(conds), before, strict=True)
               for name, value in old.items())
    assert torch.equal(sample(windowed, conds, num_frames=9), complete)


def test_copies_for_other_gpus_have_the_windows_hints(model, motion):
    network, copied = probe.HintProbe(), probe.HintProbe()
    conds = controlled(probe.control_net(network), numbered(9))
    [[_, entry]] = conds[0]
    clone = entry["control"].copy()
    clone.control_model = copied
    entry["control"].multigpu_clones[torch.device("meta")] = clone

    def note(executor, base, given, x, *args):
        assert probe.numbers(clone.cond_hint_original) == probe.numbers(x)
        return executor(base, given, x, *args)

    watched = with_windows(apply(model, motion))
    watched.add_wrapper(WrappersMP.CALC_COND_BATCH, note)
    probe.sample(probe.Probe().on(watched), 9, *conds, cfg=1.0)
    assert probe.numbers(clone.cond_hint_original) == list(range(9))


class Sparse(comfy.controlnet.ControlBase):
    """Another pack's control, with hints for a few frames."""

    def get_control(self, x, *args):
        self.seen = probe.numbers(self.cond_hint_original)


def test_controls_of_other_packs_may_have_fewer_hints(model, motion):
    control = Sparse().set_cond_hint(probe.frames(2, 3, 64))
    positive = [[conditioning(1)[0][0], {"control": control}]]
    probe.sample(probe.Probe().on(with_windows(apply(model, motion))), 9, positive, cfg=1.0)
    assert control.seen == [0, 1]


class SelfCutting(comfy.controlnet.ControlNet):
    """Another pack's control, which takes its part of the hints by the window's frames."""

    def __init__(self, network):
        super().__init__(network, load_device=torch.device("cpu"))
        self.sub_idxs = None

    def get_control(self, x, t, cond, batched_number, transformer_options):
        window = transformer_options.get("ad_params")
        given = self.cond_hint_original
        self.sub_idxs = window and window["sub_idxs"]
        if window:
            assert len(given) >= window["full_length"]
            self.cond_hint_original, self.cond_hint = given[self.sub_idxs], None
        try:
            return super().get_control(x, t, cond, batched_number, transformer_options)
        finally:
            self.cond_hint_original = given


@every_schedule
def test_controls_that_cut_by_themselves_are_left_whole(windowed):
    """Alone, and before and after controls of the host, which are cut here, in one chain."""
    networks, unet = [probe.HintProbe() for _ in range(3)], probe.Probe()
    conds = controlled(probe.control_net(networks[0]), numbered(TOTAL))
    foreign = SelfCutting(networks[1]).set_cond_hint(numbered(TOTAL).movedim(-1, 1))
    foreign.set_previous_controlnet(conds[0][0][1]["control"])
    last = probe.control_net(networks[2]).set_cond_hint(numbered(TOTAL).movedim(-1, 1))
    last.set_previous_controlnet(foreign)
    positive = [[conditioning(1)[0][0], {"control": last}]]
    probe.sample(unet.on(windowed), TOTAL, positive, cfg=1.0)
    assert [network.hints for network in networks] == [unet.frames] * 3


def test_another_packs_class_that_leaves_the_hints_to_the_host_is_treated_like_the_hosts(model, motion):
    class Renamed(comfy.controlnet.ControlNet):
        pass

    network, unet = probe.HintProbe(), probe.Probe()
    control = Renamed(network, load_device=torch.device("cpu")).set_cond_hint(numbered(9).movedim(-1, 1))
    positive = [[conditioning(1)[0][0], {"control": control}]]
    windowed = with_windows(apply(model, motion))
    probe.sample(unet.on(windowed), 9, positive, cfg=1.0)
    assert network.hints == unet.frames
    with pytest.raises(ValueError, match="the video has 12 frames.* was given 9 images"):
        probe.sample(unet.on(windowed), 12, positive, cfg=1.0)

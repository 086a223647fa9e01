"""A ControlNet's strength over the frames, for each kind of control, alone, in chains and in windows."""

import comfy.model_management
import pytest
import torch
from animatelcm.host.motion import apply_motion
from animatelcm.nodes.control_strength import ControlNetStrength
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host import probe
from animatelcm.tests.host.controls import KINDS, control_net, controlled, hints, t2i_adapter
from animatelcm.tests.host.probe import STEPS, TOTAL, every_schedule
from animatelcm.tests.support import SCHEDULE, conditioning, relative_rms, run, with_windows
from comfy.cldm.control_types import UNION_CONTROLNET_TYPES
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_controlnet import SetUnionControlNetType

NUMBERS = [0.0, 0.25, 1.0, 0.5, 1.0, 2.0]


def over_frames(control, curve="", values=None):
    return ControlNetStrength.execute(control, curve, values).result[0]


def still(model, motion):
    """Frames that do not see each other."""
    return apply_motion(model, motion, 0.0, SCHEDULES[SCHEDULE])


def sample(model, conds, num_frames=6, **settings):
    positive, negative = conds
    return run(model, num_frames=num_frames, positive=positive, negative=negative, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_is_as_with_its_strength_for_all(model, motion, kind):
    """And so without the node: 1 at all is the control as it is."""
    images, control, applied = hints(6), KINDS[kind](), still(model, motion)
    result = sample(applied, controlled(over_frames(control, values=NUMBERS), images, strength=0.6), cfg=1.5)
    for frame, number in enumerate(NUMBERS):
        conds = controlled(control, images, strength=0.6 * number) if number else (conditioning(1), conditioning(2))
        alone = sample(applied, conds, cfg=1.5)
        torch.testing.assert_close(result[frame], alone[frame], rtol=1e-4, atol=1e-4)
    assert len({round(result[frame].sum().item(), 3) for frame in range(6)}) == 6
    ones = sample(applied, controlled(over_frames(control, "0: 1"), images, strength=0.6), cfg=1.5)
    assert torch.equal(ones, sample(applied, controlled(control, images, strength=0.6), cfg=1.5))


def test_only_its_own_part_of_a_chain_changes(model, motion):
    applied, images = still(model, motion), hints(6)
    first = controlled(over_frames(control_net(), values=NUMBERS), images)
    both = sample(applied, controlled(t2i_adapter(), images, strength=0.5, before=first))
    second = controlled(t2i_adapter(), images, strength=0.5)
    turned = sample(applied, controlled(over_frames(control_net(), values=NUMBERS), images, before=second))
    torch.testing.assert_close(both, turned, rtol=1e-4, atol=1e-4)
    for frame, number in enumerate(NUMBERS[:3]):
        conds = controlled(control_net(), images, strength=number, before=second) if number else second
        torch.testing.assert_close(both[frame], sample(applied, conds)[frame], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_windows_of_independent_frames_are_one_pass(model, motion, kind):
    applied = still(model, motion)
    conds = controlled(over_frames(KINDS[kind](), values=NUMBERS), hints(6), strength=0.7)
    whole = sample(applied, conds, cfg=1.5)
    assert relative_rms(sample(with_windows(applied), conds, cfg=1.5), whole) < 1e-5


class NumberedControl(probe.HintProbe):
    """A control's network that puts out ones."""

    def forward(self, x, *args, **kwargs):
        super().forward(x, *args, **kwargs)
        return {"input": [], "middle": [torch.ones(len(x), 1, 1, 1)], "output": []}


@every_schedule
def test_in_every_window_a_frame_has_its_number_and_its_hint(windowed):
    network, unet, seen = NumberedControl(), probe.Probe(), []

    def note(executor, x, timesteps, context, y=None, control=None, *args, **kwargs):
        seen.append(control["middle"][0].flatten().mul(10).round().int().tolist())
        return executor(x, timesteps, context, y, control, *args, **kwargs)

    control = over_frames(probe.control_net(network), values=[0.1 * frame for frame in range(TOTAL)])
    watched = windowed.clone()
    watched.add_wrapper(WrappersMP.DIFFUSION_MODEL, note)
    images = probe.frames(TOTAL, 3, 64).movedim(1, -1)
    probe.sample(unet.on(watched), TOTAL, *controlled(control, images), STEPS)
    assert seen == unet.frames
    assert network.hints == unet.frames


def test_without_a_motion_module_frames_are_counted_too(model):
    """With one hint for all: the host gives every window the first ones."""
    conds = controlled(over_frames(control_net(), values=NUMBERS), hints(1))
    whole = sample(model, conds)
    assert relative_rms(sample(with_windows(model), conds), whole) < 1e-5
    with pytest.raises(ValueError, match="strength_values was given 6 numbers for a video of 5 frames"):
        sample(model, conds, num_frames=5)


@pytest.mark.parametrize("windows", [False, True])
def test_one_for_another_video_is_refused_before_anything_is_computed(model, motion, windows):
    network, applied = probe.HintProbe(), still(model, motion)
    wrong = {"given 5 numbers for a video of 6": {"values": NUMBERS[:5]}, "no frame 6": {"curve": "6: 1"}}
    for message, options in wrong.items():
        conds = controlled(over_frames(probe.control_net(network), **options), hints(6))
        with pytest.raises(ValueError, match=message):
            sample(with_windows(applied) if windows else applied, conds)
    assert not network.frames


def test_too_few_hints_are_refused_as_ever(model, motion):
    conds = controlled(over_frames(control_net(), "0: 1"), hints(5))
    with pytest.raises(ValueError, match="the video has 6 frames.* was given 5 images"):
        sample(still(model, motion), conds)


@pytest.mark.parametrize(("start", "end", "calls"), [(0.0, 1.0, 4), (0.0, 0.4, 2), (0.4, 1.0, 2)])
def test_start_and_end_are_honoured(model, motion, start, end, calls):
    network = probe.HintProbe()
    control = over_frames(probe.control_net(network), "0: 0.5")
    conds = controlled(control, hints(6), start=start, end=end)
    probe.sample(probe.Probe().on(still(model, motion)), 6, *conds, cfg=1.0)
    assert len(network.frames) == calls


@pytest.mark.parametrize("before", [False, True])
def test_a_union_keeps_its_type(model, motion, before):
    network = probe.HintProbe()
    control = probe.control_net(network)
    if before:
        control = over_frames(SetUnionControlNetType.execute(control, "depth").result[0], "0: 1")
    else:
        control = SetUnionControlNetType.execute(over_frames(control, "0: 1"), "depth").result[0]
    probe.sample(probe.Probe().on(still(model, motion)), 6, *controlled(control, hints(6)), cfg=1.0)
    assert network.types == [[UNION_CONTROLNET_TYPES["depth"]]] * 4


def test_the_control_that_was_given_stays_as_it_is(model, motion):
    control, images, applied = control_net(), hints(6), still(model, motion)
    before, attributes = sample(applied, controlled(control, images)), dict(vars(control))
    sample(with_windows(applied), controlled(over_frames(control, values=NUMBERS), images))
    assert all(vars(control)[name] is value for name, value in attributes.items())
    assert torch.equal(sample(applied, controlled(control, images)), before)
    assert over_frames(control) is control


def test_the_host_loads_its_model_and_counts_its_memory(model, motion):
    control = control_net()
    [[_, entry]], _ = controlled(over_frames(control, "0: 1"), hints(6), before=controlled(control_net(7), hints(6)))
    inner = entry["control"].inner
    assert inner.control_model_wrapped in entry["control"].get_models()
    assert len(entry["control"].get_models()) == 2
    assert entry["control"].inference_memory_requirements(torch.float32) == inner.inference_memory_requirements(
        torch.float32)


def test_a_copy_for_another_gpu_has_its_own_network():
    [[_, entry]], _ = controlled(over_frames(control_net(), values=NUMBERS), hints(6))
    control, device = entry["control"], comfy.model_management.get_torch_device()
    clone = control.deepclone_multigpu(device, autoregister=True)
    assert control.get_instance_for_device(device) is clone
    assert clone.inner.control_model is not control.inner.control_model
    assert clone.inner.cond_hint_original is control.inner.cond_hint_original
    assert clone.frame_strength is control.frame_strength

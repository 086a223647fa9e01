"""Which frames, prompts and references the host's context windows bring together, over whole schedules."""

import pytest
import torch
from animatelcm.host.image_to_video import apply_image_to_video
from animatelcm.host.motion import apply_motion
from animatelcm.motion.module import MotionConfig
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host import probe
from animatelcm.tests.host.probe import FUSE, HOSTS, LENGTH, OVERLAP, STEPS, TOTAL, every_schedule
from animatelcm.tests.support import (
    CONFIG,
    SCHEDULE,
    conditioning,
    loaded_image_to_video,
    loaded_motion,
    relative_rms,
    run,
    tiny_model,
    with_windows,
)
from comfy.patcher_extension import WrappersMP


def apply(model, motion, strength=1.0):
    return apply_motion(model, motion, strength, SCHEDULES[SCHEDULE])


@every_schedule
def test_every_frame_is_computed_in_every_step(windowed):
    unet = probe.Probe()
    result = probe.sample(unet.on(windowed), TOTAL, steps=STEPS, cfg=1.0)
    assert probe.numbers(result) == list(range(TOTAL))
    by_step = {}
    for call, options in zip(unet.frames, unet.options, strict=True):
        by_step.setdefault(options["sigmas"][0].item(), set()).update(call)
    assert list(by_step.values()) == [set(range(TOTAL))] * STEPS


@every_schedule
def test_a_windows_frames_follow_one_another(windowed, request):
    """A motion module counts positions in a window from 0: they have to be in the video's order, or the loop's."""
    unet = probe.Probe()
    probe.sample(unet.on(windowed), TOTAL, steps=STEPS, cfg=1.0)
    setting = request.node.callspec.params["windowed"]
    for call in unet.frames:
        gaps = {(after - before) % TOTAL for before, after in zip(call, call[1:], strict=False)}
        assert gaps <= ({1, 2} if setting["stride"] == 2 else {1})
        assert setting["schedule"] == "looped_uniform" or call == sorted(call)
        assert len(call) <= LENGTH + setting["causal"]
    assert {len(call) for call in unet.frames} >= {LENGTH}
    if setting["schedule"] == "batched":
        assert len(unet.frames[4]) == TOTAL % LENGTH + setting["causal"]
    wrapped = [call for call in unet.frames if call[0] > call[-1]]
    assert bool(wrapped) is (setting["schedule"] == "looped_uniform")


@every_schedule
def test_a_frame_has_its_own_prompt(windowed):
    unet = probe.Probe()
    probe.sample(unet.on(windowed), TOTAL, probe.prompts(TOTAL), probe.prompts(TOTAL, tokens=3), STEPS)
    assert unet.contexts == unet.frames


def test_prompts_for_each_frame_go_with_one_negative_prompt_for_all(model, motion):
    unet = probe.Probe()
    windowed = with_windows(apply(model, motion), LENGTH, OVERLAP)
    probe.sample(unet.on(windowed), TOTAL, probe.prompts(TOTAL), [[torch.full_like(conditioning(1)[0][0], -1.0), {}]])
    for frames, contexts, options in zip(unet.frames, unet.contexts, unet.options, strict=True):
        count = len(frames) // len(options["cond_or_uncond"])
        for chunk, is_negative in enumerate(options["cond_or_uncond"]):
            part = slice(chunk * count, (chunk + 1) * count)
            assert contexts[part] == ([-1] * count if is_negative else frames[part])


@every_schedule
def test_a_frame_has_its_own_reference_image(windowed, model, tmp_path, request):
    motion = loaded_image_to_video(tmp_path)
    animated = apply_image_to_video(model, motion, probe.frames(TOTAL, 4, 8), 0.8, (1.0,) * 4, 1.0, None)
    windowed = with_windows(animated, LENGTH, OVERLAP, **request.node.callspec.params["windowed"])
    encoded, unet = [], probe.Probe()
    handle = motion.encoder.model.register_forward_pre_hook(lambda layer, args: encoded.append(probe.numbers(args[0])))
    probe.sample(unet.on(windowed), TOTAL, steps=STEPS, cfg=1.0)
    handle.remove()
    # Anew for each window, unless it is the last one of its length.
    expected, last = [], {}
    for window in unet.frames:
        if last.get(len(window)) != window:
            expected.append(window)
        last[len(window)] = window
    assert encoded == expected


@pytest.fixture(scope="module")
def one_pass(motion):
    """A MODEL whose motion module is the identity, a prompt for each of 64 frames, and its video."""
    still = apply(tiny_model(), motion, strength=0.0)
    prompts = [[torch.cat([conditioning(seed)[0][0] for seed in range(64)]), {}]]
    return still, prompts, run(still, num_frames=64, positive=prompts)


@pytest.mark.parametrize(("schedule", "fuse"), [
    *((schedule, "pyramid") for schedule in HOSTS), *(("standard_static", fuse) for fuse in FUSE[1:])])
def test_windows_of_independent_frames_are_one_pass(one_pass, schedule, fuse):
    """Where the motion module is the identity, nothing else tells 64 frames in windows of 16 from one pass."""
    still, prompts, whole = one_pass
    result = run(with_windows(still, 16, 4, schedule=schedule, fuse=fuse), num_frames=64, positive=prompts)
    assert relative_rms(result, whole) < 1e-5


@pytest.mark.parametrize("causal", [False, True])
def test_one_frame_too_many_is_explained(model, tmp_path, causal):
    """The host's causal fix makes windows one frame longer than was asked for."""
    known = loaded_motion(tmp_path, MotionConfig(CONFIG.channels, max_frames=5))
    windowed = with_windows(apply(model, known), length=5, causal=causal)
    if causal:
        with pytest.raises(ValueError, match="window has 6 frames.* at most 5.*causal fix"):
            run(windowed, num_frames=9)
    else:
        assert run(windowed, num_frames=9).isfinite().all()


@pytest.mark.parametrize("motion_first", [True, False])
def test_announced_memory_is_that_of_a_window(model, motion, motion_first):
    """However long the video is, and in whichever order the nodes stand."""
    windowed = with_windows(apply(model, motion)) if motion_first else apply(with_windows(model), motion)
    announced = []
    windowed.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, "test", lambda executor, model, shape, *args, **kwargs: (
        announced.append(list(shape)) or executor(model, shape, *args, **kwargs)))
    for num_frames in (8, 32):
        run(windowed, num_frames=num_frames, steps=1)
    assert announced[0] == announced[1]
    assert announced[0][0] == 4

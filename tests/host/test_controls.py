"""Controls over a motion module: in which steps, at which frames and where it acts."""

import comfy.sample
import pytest
import torch
from animatelcm.host.controls import StrengthControl, Video
from animatelcm.host.image_to_video import apply_image_to_video
from animatelcm.host.motion import apply_motion
from animatelcm.host.saving import save_motion
from animatelcm.host.training.network import trainable
from animatelcm.keyframes.curve import parse_curve
from animatelcm.nodes.controls import MotionControl
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.support import (
    IMAGE_TO_VIDEO,
    SCHEDULE,
    conditioning,
    loaded_image_to_video,
    loaded_motion,
    noise_for,
    relative_rms,
    run,
    with_windows,
)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return loaded_motion(tmp_path_factory.mktemp("motion"), seed=2)


def controlled(motion, start=0.0, end=1.0, curve="", mask=None):
    return MotionControl.execute(motion, start, end, curve, mask).result[0]


def apply(model, motion, strength=1.0):
    return apply_motion(model, motion, strength, SCHEDULES[SCHEDULE])


class Calls:
    """Counts a module's calls, and keeps the strengths, at one site."""

    def __init__(self, motion, block=("input", 1)):
        self.strengths = []
        site = motion.patcher.model.sites()[block]
        self.handle = site.register_forward_pre_hook(lambda layer, args: self.strengths.append(args[2]))

    def __enter__(self):
        return self.strengths

    def __exit__(self, *args):
        self.handle.remove()


def test_controls_that_say_nothing_change_nothing(model, motion):
    plain = run(apply(model, motion))
    for same in (controlled(motion), controlled(motion, curve="0: 1"), controlled(motion, mask=torch.ones(1, 64, 64))):
        assert relative_rms(run(apply(model, same)), plain) < 1e-6


@pytest.mark.parametrize("use", [
    lambda model, motion: save_motion(motion, "motion"),
    lambda model, motion: trainable(model, motion, torch.float32, torch.device("cpu"), False)])
def test_what_is_controlled_is_neither_saved_nor_trained(model, motion, use):
    with pytest.raises(ValueError, match="comes from Motion Control.*Connect the module as it was before"):
        use(model, controlled(motion, 0.5))


@pytest.mark.parametrize(("start", "end", "calls"), [(0, 1, 4), (0, 0.5, 2), (0.5, 1, 2), (0.3, 0.7, 1), (0.9, 1, 0)])
def test_a_module_acts_in_its_part_of_the_sampling(model, motion, start, end, calls):
    """Four steps are at the timesteps 999, 749, 499 and 249."""
    with Calls(motion) as seen:
        run(apply(model, controlled(motion, start, end)), steps=4)
    assert len(seen) == calls


def test_one_module_after_another(model, motion, other):
    """The border of two ranges, a timestep of the run, belongs to the second one alone."""
    border = 1 - 499 / 999
    both = apply(apply(model, controlled(motion, end=border)), controlled(other, start=border))
    with Calls(motion) as first, Calls(other) as second:
        result = run(both, steps=4)
    assert (len(first), len(second)) == (2, 2)
    assert not torch.equal(result, run(apply(model, motion), steps=4))
    assert not torch.equal(result, run(apply(model, other), steps=4))


def test_controls_multiply_with_one_another_and_the_strength(model, motion):
    twice = controlled(controlled(motion, end=0.9, curve="0: 0.5"), start=0.1, curve="0: 0.5")
    expected = run(apply(model, controlled(motion, 0.1, 0.9), strength=0.5), steps=4)
    assert relative_rms(run(apply(model, twice, strength=2.0), steps=4), expected) < 1e-5


@pytest.mark.parametrize("options", [{"curve": "0: 0"}, {"mask": torch.zeros(1, 8, 8)}, {"start": 0.99}])
def test_a_factor_of_0_skips_the_work(model, motion, options):
    still = run(apply(model, motion, strength=0.0))
    with Calls(motion) as seen:
        assert torch.equal(run(apply(model, controlled(motion, **options)), cfg=1.5, steps=2),
                           run(apply(model, motion, strength=0.0), cfg=1.5, steps=2))
    assert not seen
    assert still.isfinite().all()


@pytest.mark.parametrize("cfg", [1.0, 1.5])
def test_a_curve_is_each_frames_strength(model, motion, cfg):
    """At a site the frames of both conditionings get the factors of the curve, times the number."""
    with Calls(motion) as seen:
        result = run(apply(model, controlled(motion, curve="0: 0, 3: 1.5"), strength=2.0), steps=1, cfg=cfg)
    assert [strength.flatten().tolist() for strength in seen] == [[0.0, 1.0, 2.0, 3.0]]
    assert not torch.equal(result, run(apply(model, motion, strength=2.0), steps=1, cfg=cfg))


def test_a_mask_is_scaled_to_each_site(model, motion):
    mask = torch.zeros(1, 64, 64)
    mask[:, :, 32:] = 1
    for block, width in {("input", 1): 8, ("input", 4): 4, ("middle", 0): 1}.items():
        with Calls(motion, block) as seen:
            run(apply(model, controlled(motion, mask=mask)), steps=1)
        assert seen[0].shape == (1, 1, width, width)
        assert seen[0].mean() == 0.5
    assert seen[0].unique().tolist() == [0.5]


def test_a_mask_for_each_frame_is_a_curve(model, motion):
    masks = torch.tensor([0.0, 0.5, 1.0, 1.5]).view(4, 1, 1).expand(4, 16, 16)
    by_mask, by_curve = (run(apply(model, each)) for each in (controlled(motion, mask=masks),
                                                              controlled(motion, curve="0: 0, 3: 1.5")))
    assert relative_rms(by_mask, by_curve) < 1e-6


@pytest.mark.parametrize("causal", [False, True])
def test_windows_have_the_factors_of_their_frames(model, motion, causal):
    masks = torch.arange(10.0).view(10, 1, 1).expand(10, 8, 8)
    for each in (controlled(motion, curve="0: 0, 9: 9"), controlled(motion, mask=masks)):
        with Calls(motion) as seen:
            run(with_windows(apply(model, each), causal=causal), num_frames=10, steps=1)
        frames = [strength[:, 0, 0, 0].round().int().tolist() for strength in seen]
        windows = [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
        assert frames == ([[0, 1, 2, 3], [2, 3, 4, 5, 6], [5, 6, 7, 8, 9]] if causal else windows)


def test_an_image_to_video_module_that_does_not_act_adds_no_image(model, tmp_path):
    animated, schedule = loaded_image_to_video(tmp_path), SCHEDULES[IMAGE_TO_VIDEO]
    arguments = (noise_for(1, seed=5), 0.8, (1.0, 1.0, 1.0, 1.0), 1.0, schedule)
    idle = apply_image_to_video(model, controlled(animated, start=0.99), *arguments)
    assert torch.equal(run(idle), run(apply_motion(model, animated, 0.0, schedule)))
    assert not torch.equal(run(idle), run(apply_image_to_video(model, animated, *arguments)))


@pytest.mark.parametrize(("options", "message"), [
    ({"start": 0.5, "end": 0.5}, "start_percent is 0.5 and end_percent 0.5; expected"),
    ({"start": 0.7, "end": 0.2}, "start_percent is 0.7"),
    ({"curve": "0 1"}, "line 1, column 3: expected a colon"),
    ({"curve": "0: fast"}, "expected a number from 0 to 10 for frame 0, got 'fast'"),
    ({"mask": torch.ones(8, 8)}, "mask has the shape \\(8, 8\\)"),
])
def test_what_makes_no_sense_is_refused_at_once(motion, options, message):
    with pytest.raises(ValueError, match=message):
        controlled(motion, **options)


@pytest.mark.parametrize(("options", "message"), [
    ({"curve": "0: 1, 4: 0"}, "there is no frame 4 in a video of 4"),
    ({"mask": torch.ones(3, 8, 8)}, "the video has 4 frames.* given 3 masks"),
])
def test_a_control_for_another_video_is_refused(model, motion, options, message):
    with pytest.raises(ValueError, match=message):
        run(apply(model, controlled(motion, **options)))


def test_frames_cut_by_another_pack_are_refused(motion):
    control = StrengthControl(curve=parse_curve("0: 1", 0, 10))
    with pytest.raises(ValueError, match="4 frames at a time.* 8 they are.*Long Video"):
        control.factor(noise_for(4), 4, {Video: Video(noise_for(8).shape)})


def test_a_mask_does_not_fit_a_part_of_the_picture(model, motion):
    applied = apply(model, controlled(motion, mask=torch.ones(1, 8, 8)))
    part = [[conditioning(1)[0][0], {"area": (4, 4, 0, 0)}]]
    noise = noise_for(4)
    with pytest.raises(ValueError, match="a part of the picture only.*Set Mask"):
        comfy.sample.sample(applied, noise, 1, 1.0, "euler", "simple", part, conditioning(2), torch.zeros_like(noise),
                            disable_pbar=True, seed=0)


def test_curve_and_mask_of_one_control_multiply():
    mask = torch.rand(1, 8, 8)
    control = StrengthControl(curve=parse_curve("0: 1, 3: 0.25", 0.0, 10.0), mask=mask)
    factor = control.factor(noise_for(4), 4, {})
    torch.testing.assert_close(factor, torch.tensor([1.0, 0.75, 0.5, 0.25]).view(4, 1, 1, 1) * mask)

"""The scale of a motion module's attention: as a number, over the frames and by place."""

import pytest
import torch
from animatelcm.host.motion import apply_motion
from animatelcm.nodes.controls import AttentionScale, MotionControl
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.support import SCHEDULE, relative_rms, run, with_windows


def scaled(motion, scale=1.0, curve="", values=None, mask=None):
    return AttentionScale.execute(motion, scale, curve, values, mask).result[0]


def apply(model, motion):
    return apply_motion(model, motion, 1.0, SCHEDULES[SCHEDULE])


class Scales:
    """Keeps what one site is given for its attention at each call."""

    def __init__(self, motion, block=("input", 1)):
        self.seen = []
        site = motion.patcher.model.sites()[block]
        self.handle = site.register_forward_pre_hook(lambda layer, args: self.seen.append(args[3].attention))

    def __enter__(self):
        return self.seen

    def __exit__(self, *args):
        self.handle.remove()


@pytest.mark.parametrize("cfg", [1.0, 1.5])
def test_1_gives_the_same_bits_as_no_node(model, motion, cfg):
    plain = run(apply(model, motion), cfg=cfg)
    for one in ({"scale": 1.0}, {"curve": "0: 1"}, {"values": [1.0] * 4}, {"mask": torch.ones(1, 8, 8)}):
        assert torch.equal(run(apply(model, scaled(motion, **one)), cfg=cfg), plain)
    assert not torch.equal(run(apply(model, scaled(motion, 1.2)), cfg=cfg), plain)


def test_a_number_a_curve_a_list_and_masks_are_the_same(model, motion):
    number = run(apply(model, scaled(motion, 1.5)), cfg=1.5)
    for same in ({"curve": "0: 1.5"}, {"values": [1.5] * 4}, {"scale": 3.0, "mask": torch.full((4, 16, 16), 0.5)},
                 {"scale": 0.5, "curve": "0: 3"}):
        assert relative_rms(run(apply(model, scaled(motion, **same)), cfg=1.5), number) < 1e-4


def test_several_multiply_and_leave_the_strength_alone(model, motion):
    once = run(apply(model, scaled(motion, 1.5)))
    assert relative_rms(run(apply(model, scaled(scaled(motion, 3.0), curve="0: 0.5"))), once) < 1e-4
    weak = MotionControl.execute(scaled(motion, 1.5), 0.0, 1.0, "0: 0.5").result[0]
    assert not torch.equal(run(apply(model, weak)), once)
    other = apply_motion(model, scaled(motion, 1.5), 0.5, SCHEDULES[SCHEDULE])
    assert relative_rms(run(apply(model, weak)), run(other)) < 1e-5


@pytest.mark.parametrize("causal", [False, True])
def test_in_windows_a_frame_has_its_own(model, motion, causal):
    masks = torch.arange(10.0).view(10, 1, 1).expand(10, 8, 8)
    for each in (scaled(motion, curve="0: 0, 9: 9"), scaled(motion, values=[float(i) for i in range(10)]),
                 scaled(motion, mask=masks)):
        with Scales(motion) as seen:
            run(with_windows(apply(model, each), causal=causal), num_frames=10, steps=1)
        frames = [scale[:, 0, 0, 0].round().int().tolist() for scale in seen]
        windows = [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
        assert frames == ([[0, 1, 2, 3], [2, 3, 4, 5, 6], [5, 6, 7, 8, 9]] if causal else windows)


def test_a_mask_is_scaled_to_each_site(model, motion):
    mask = torch.zeros(1, 64, 64)
    mask[:, :, 32:] = 2
    for block, width in {("input", 1): 8, ("input", 4): 4, ("middle", 0): 1}.items():
        with Scales(motion, block) as seen:
            run(apply(model, scaled(motion, mask=mask)), steps=1)
        assert seen[0].shape == (1, 1, width, width)
        assert seen[0].mean() == 1


def test_masks_of_two_sizes_multiply(model, motion):
    """The smaller one is scaled up; also those of Motion Control."""
    small, large = torch.full((1, 8, 8), 0.5), torch.full((1, 32, 32), 3.0)
    both = scaled(scaled(motion, mask=small), mask=large)
    assert relative_rms(run(apply(model, both)), run(apply(model, scaled(motion, 1.5)))) < 1e-4
    controls = [MotionControl.execute(motion, 0.0, 1.0, "", small).result[0]]
    controls.append(MotionControl.execute(controls[0], 0.0, 1.0, "", large).result[0])
    weak = apply_motion(model, motion, 1.5, SCHEDULES[SCHEDULE])
    assert relative_rms(run(apply(model, controls[1])), run(weak)) < 1e-5


@pytest.mark.parametrize(("options", "message"), [
    ({"scale": -0.1}, "scale is -0.1; expected 0 to 10"),
    ({"scale": float("nan")}, "scale is nan; expected 0 to 10"),
    ({"curve": "0: 11"}, "expected a number from 0 to 10 for frame 0, got '11'"),
    ({"values": [1.0, 11.0]}, "scale_values has 11 at frame 1; expected numbers from 0 to 10"),
    ({"mask": torch.ones(8, 8)}, "mask has the shape \\(8, 8\\)"),
])
def test_what_makes_no_sense_is_refused_at_once(motion, options, message):
    with pytest.raises(ValueError, match=message):
        scaled(motion, **options)


@pytest.mark.parametrize(("options", "message"), [
    ({"curve": "0: 1, 4: 0"}, "there is no frame 4 in a video of 4"),
    ({"values": [1.0] * 5}, "scale_values was given 5 numbers for a video of 4 frames"),
    ({"mask": torch.ones(3, 8, 8)}, "the video has 4 frames, but Attention Scale was given 3 masks"),
])
def test_one_for_another_video_is_refused(model, motion, options, message):
    applied = apply(model, scaled(motion, **options))
    for each in (applied, with_windows(applied, length=2)):
        with pytest.raises(ValueError, match=message):
            run(each)


def test_the_base_model_is_as_before(model, motion):
    before = run(model)
    run(apply(model, scaled(motion, 2.0, mask=torch.rand(1, 8, 8))))
    assert torch.equal(run(model), before)

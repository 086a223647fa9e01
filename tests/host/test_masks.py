"""Masks of the noise and of conditionings with one for each frame: too few are refused, and nothing else."""

import comfy.sample
import pytest
import torch
from animatelcm.host.masks import check_noise_masks, starts_over_after
from animatelcm.host.motion import apply_motion
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.support import (
    SCHEDULE,
    conditioning,
    noise_for,
    record_calls,
    relative_rms,
    run,
    with_windows,
)
from comfy.sampler_helpers import prepare_mask
from torch.overrides import TorchFunctionMode

from nodes import ConditioningSetMask


@pytest.fixture
def applied(model, motion):
    return apply_motion(model, motion, 1.0, SCHEDULES[SCHEDULE])


def sample(model, masks, num_frames=8):
    latent = noise_for(num_frames, seed=3)
    with torch.inference_mode():
        return comfy.sample.sample(model, noise_for(num_frames), 2, 1.0, "lcm", "simple", conditioning(1),
                                   conditioning(2), latent, noise_mask=masks, disable_pbar=True, seed=0)


def whole(values):
    """Return masks of one value each, f h w."""
    return torch.tensor(values, dtype=torch.float).view(-1, 1, 1).expand(-1, 64, 64)


def moving(count):
    """Return masks that all differ, f h w."""
    return torch.rand(count, 64, 64, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize(("masks", "count"), [(whole([1, 1, 0, 0]), 4), (moving(4), 4), (moving(3), 3), (moving(5), 5)])
def test_fewer_noise_masks_than_frames_are_refused(applied, masks, count, windows):
    model = with_windows(applied) if windows else applied
    calls = record_calls(model)
    with pytest.raises(ValueError, match=f"8 frames, but its noise masks start over after {count}.*one for each frame"):
        sample(model, masks)
    assert calls == []


@pytest.mark.parametrize("masks", [
    moving(1), moving(8), moving(20), whole([1] * 8), whole([1, 1, 1, 1, 0, 0, 0, 0]),
    # Key frames to fill up the frames between them.
    whole([0, 1, 0, 1, 0, 1, 0, 1]), whole([0, 1, 1, 0, 1, 1, 0, 1]), whole([0, 1, 1, 1, 0, 1, 1, 1]),
    # An end that is kept like the start.
    whole([0, 1, 1, 1, 1, 1, 1, 0]), whole([0, 0, 1, 1, 1, 1, 0, 0]), torch.cat([moving(7), moving(1)]),
], ids=range(11))
def test_masks_for_the_whole_video_or_each_frame_pass(applied, masks):
    latent = applied.get_model_object("latent_format").process_in(noise_for(8, seed=3))
    result = applied.get_model_object("latent_format").process_in(sample(applied, masks))
    kept = prepare_mask(masks, noise_for(8).shape, "cpu") == 0
    assert torch.allclose(result[kept], latent[kept], atol=1e-4)
    assert not torch.allclose(result[~kept], latent[~kept], atol=1e-4)


def test_no_masks_and_one_frame_do_not_start_over():
    assert starts_over_after(None) is None
    assert starts_over_after(torch.ones(1, 4, 8, 8)) is None
    check_noise_masks(None, 4)


@pytest.mark.parametrize("period", [2, 3, 7, 100, None])
def test_where_masks_start_over(period):
    masks = whole(range(200))[:, None, :2, :2]
    repeated = masks if period is None else masks[[frame % period for frame in range(200)]]
    assert starts_over_after(repeated) == period
    assert starts_over_after(repeated.half()) == period


class Read(TorchFunctionMode):
    """Counts the numbers that operations are given."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += sum(each.numel() for each in args if isinstance(each, torch.Tensor) and func is torch.equal)
        return func(*args, **kwargs or {})


def test_many_masks_are_not_all_compared_with_all():
    masks = moving(300)[:, None]
    with Read() as read:
        assert starts_over_after(masks) is None
    assert read.count <= 4 * masks.numel()


def masked(count):
    return ConditioningSetMask().append(conditioning(1), moving(count), "default", 1.0)[0]


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("name", ["positive", "negative"])
def test_fewer_masks_of_a_conditioning_than_frames_are_refused(applied, name, windows):
    model = with_windows(applied) if windows else applied
    for count in (2, 4, 7):
        with pytest.raises(ValueError, match=f"8 frames, but the {name} conditioning has {count} masks.*one for each"):
            run(model, num_frames=8, cfg=1.5, **{name: masked(count)})


@pytest.mark.parametrize("count", [1, 8, 9])
def test_one_mask_of_a_conditioning_and_enough_masks_pass(applied, count):
    assert run(applied, num_frames=8, positive=masked(count)).isfinite().all()


@pytest.mark.parametrize("count", [1, 8, 11])
@pytest.mark.parametrize("causal", [False, True])
def test_masks_of_a_conditioning_follow_the_frames_in_windows(model, motion, count, causal):
    """Windows of frames that have nothing to do with one another are one pass; of too many masks the first count."""
    still = apply_motion(model, motion, 0.0, SCHEDULES[SCHEDULE])
    positive = [*masked(count), *conditioning(7)]
    whole = run(still, num_frames=8, positive=positive)
    assert relative_rms(run(with_windows(still, causal=causal), num_frames=8, positive=positive), whole) < 1e-5


@pytest.mark.parametrize("height", [4, 64])
def test_a_mask_of_a_conditioning_without_an_axis_for_frames_passes(applied, height):
    """Its rows are not frames, be they fewer or more."""
    positive = [[conditioning(1)[0][0], {"mask": torch.rand(height, 64), "mask_strength": 1.0}]]
    assert run(applied, num_frames=8, positive=positive).isfinite().all()

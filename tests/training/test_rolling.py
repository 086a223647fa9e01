"""Clips at falling noise, as in the window of the rolling sampler."""

from dataclasses import replace

import pytest
import torch
from animatelcm.samplers.rolling import Rolling, sample_rolling
from animatelcm.samplers.schedules import lcm_timesteps
from animatelcm.tests.training import gaussian
from animatelcm.tests.training.gaussian import DIFFUSION
from animatelcm.training.config import PRESETS, DistillationConfig
from animatelcm.training.draws import Draw, draw, window_timesteps
from animatelcm.training.losses import teacher_free_loss

FRAMES = 16


def in_window(steps=4, count=3, **changes) -> Draw:
    images = gaussian.examples(count * FRAMES)
    clips = replace(images, latents=images.latents.unflatten(0, (count, FRAMES)), context=images.context[:count])
    return draw(clips, DistillationConfig(100, rolling=steps, **changes), seed=0, number=0)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_the_frames_have_the_noise_that_they_have_in_the_sampler(steps):
    """Asked of the sampler itself, in a call past the first window."""
    sigmas = torch.cat([torch.tensor(lcm_timesteps(100, steps)).float(), torch.zeros(1)])
    seen = []

    def model(x, sigma, frames):
        seen.append(sigma)
        return x

    def start(frames):
        return torch.zeros(len(frames), 1, 1, 1)

    for _ in sample_rolling(model, start, 40, sigmas, Rolling(FRAMES), lambda frames, level: start(frames)):
        pass
    expected = window_timesteps(DistillationConfig(100, rolling=steps), FRAMES)
    assert seen[-1].long().tolist() == expected.tolist()
    d = in_window(steps)
    assert d.timesteps.tolist() == [expected.tolist()] * 3


def test_every_frame_goes_to_the_next_level_and_those_in_front_to_none():
    d = in_window()
    assert d.timesteps[0].tolist() == [249] * 4 + [499] * 4 + [749] * 4 + [999] * 4
    assert d.next_timesteps[0].tolist() == [0] * 4 + [249] * 4 + [499] * 4 + [749] * 4
    phased = in_window(phases=4)
    assert torch.equal(phased.edges, phased.next_timesteps) and phased.timesteps.shape == (3, FRAMES)


def test_a_frame_is_noised_and_judged_by_its_own_timestep():
    """The network sees the timesteps, and one that is wrong in the frames of one level pays for these alone."""
    d, seen = in_window(), []

    def exact(z, timesteps, context):
        seen.append(timesteps)
        return gaussian.perfect(z, timesteps, context)

    def wrong(z, timesteps, context):
        return exact(z, timesteps, context) + (timesteps == 749)[..., None, None, None]

    def target(z, timesteps, context):
        return gaussian.perfect(z, timesteps, context)

    # Frame by frame it is the loss of images at these timesteps.
    images = {"x0": d.x0.flatten(0, 1), "noise": d.noise.flatten(0, 1), "context": d.context.repeat_interleave(16, 0),
              "timesteps": d.timesteps.flatten(), "next_timesteps": d.next_timesteps.flatten()}
    for student in (exact, wrong):
        clips, frames = (teacher_free_loss(student, target, each, DIFFUSION, 1e-3)
                         for each in (d, replace(d, **images)))
        torch.testing.assert_close(clips, frames)
    assert torch.equal(seen[0], d.timesteps)
    assert (teacher_free_loss(wrong, target, d, DIFFUSION, 1e-3)
            > 1.1 * teacher_free_loss(exact, target, d, DIFFUSION, 1e-3))


def test_other_draws_stay_as_they_are():
    """Their noise comes from the same numbers, whatever it is used for."""
    plain, rolling = draw(gaussian.examples(3 * 16), DistillationConfig(100), 0, 0), in_window()
    assert torch.equal(rolling.x0.flatten(0, 1), plain.x0)
    again = draw(gaussian.examples(3 * 16), DistillationConfig(100, rolling=0), 0, 0)
    assert all(torch.equal(getattr(again, name), getattr(plain, name)) for name in ("noise", "timesteps", "w"))


def test_no_teacher_knows_clips_at_falling_noise():
    for stage, rolling, match in (("motion", 4, "in the stage motion"), ("image", 4, "in the stage image"),
                                  ("adapt", 101, "rolling is 101"), ("adapt", 17, "a clip has 16 frames"),
                                  ("adapt", 3, "expected frames that these steps divide")):
        config = PRESETS["tiny"][stage]
        with pytest.raises(ValueError, match=match):
            replace(config, distillation=replace(config.distillation, rolling=rolling))
    assert replace(config, distillation=replace(config.distillation, rolling=16)).distillation.rolling == 16

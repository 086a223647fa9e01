"""Timesteps and noise levels, against the published table and against diffusers."""

import pytest
import torch
from animatelcm.samplers.schedules import (
    SCHEDULES,
    Schedule,
    alphas_cumprod,
    grid,
    lcm_timesteps,
    sigmas,
    spaced_indices,
)
from diffusers import LCMScheduler

TEXT_TO_VIDEO = SCHEDULES["AnimateLCM text-to-video"]
IMAGE_TO_VIDEO = SCHEDULES["AnimateLCM image-to-video"]


def diffusers_scheduler(schedule: Schedule) -> LCMScheduler:
    return LCMScheduler(
        beta_schedule=schedule.beta_schedule, beta_start=schedule.beta_start, beta_end=schedule.beta_end,
        original_inference_steps=schedule.original_steps or 1000)


@pytest.mark.parametrize("steps, expected", [
    (1, [999]), (2, [999, 499]), (4, [999, 749, 499, 249]),
    (8, [999, 879, 749, 629, 499, 379, 249, 129]),
])
def test_timesteps_of_the_text_to_video_grid(steps, expected):
    assert lcm_timesteps(100, steps) == expected


@pytest.mark.parametrize("steps, expected", [
    (1, [999]), (2, [999, 499]), (4, [999, 749, 499, 249]),
    (8, [999, 874, 749, 624, 499, 374, 249, 124]),
])
def test_timesteps_of_the_image_to_video_grid(steps, expected):
    assert lcm_timesteps(200, steps) == expected


@pytest.mark.parametrize("original_steps", [50, 100, 200])
def test_timesteps_equal_diffusers_at_every_step_count(original_steps):
    scheduler = LCMScheduler(original_inference_steps=original_steps)
    for steps in range(1, original_steps + 1):
        scheduler.set_timesteps(steps)
        assert lcm_timesteps(original_steps, steps) == scheduler.timesteps.tolist()


@pytest.mark.parametrize("strength", [0.13, 0.3, 0.5, 0.6, 0.75, 0.99])
def test_strength_equals_diffusers(strength):
    scheduler = LCMScheduler(original_inference_steps=100)
    for steps in range(1, 13):
        scheduler.set_timesteps(steps, strength=strength)
        assert lcm_timesteps(100, steps, strength) == scheduler.timesteps.tolist()


def host_denoise(steps: int, denoise: float) -> list[int]:
    return [999 - 10 * i for i in spaced_indices(100, steps, denoise)]


@pytest.mark.parametrize("steps, denoise", [(1, 0.5), (2, 0.5), (4, 0.5), (4, 0.8), (5, 0.5), (6, 0.75), (8, 0.2)])
def test_strength_is_the_hosts_denoise_where_the_numbers_are_whole(steps, denoise):
    assert lcm_timesteps(100, steps, denoise) == host_denoise(steps, denoise)


def test_strength_starts_where_it_says_and_the_hosts_denoise_rounds():
    assert lcm_timesteps(100, 4, 0.6) == [599, 449, 299, 149]
    assert host_denoise(4, 0.6) == [669, 499, 339, 169]
    assert host_denoise(4, 0.9) == lcm_timesteps(100, 4)


def test_grid_ends_at_999():
    assert grid(TEXT_TO_VIDEO).tolist() == list(range(9, 1000, 10))
    assert grid(IMAGE_TO_VIDEO).tolist() == list(range(4, 1000, 5))
    assert grid(SCHEDULES["AnimateDiff"]).tolist() == list(range(1000))


@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_levels_equal_diffusers(name):
    expected = diffusers_scheduler(SCHEDULES[name]).alphas_cumprod.double()
    torch.testing.assert_close(alphas_cumprod(SCHEDULES[name]), expected, rtol=2e-5, atol=0)
    torch.testing.assert_close(sigmas(SCHEDULES[name]), ((1 - expected) / expected).sqrt().float(), rtol=1e-4, atol=0)


def test_noise_levels_as_published():
    assert sigmas(TEXT_TO_VIDEO)[-1].item() == pytest.approx(25.1461, abs=1e-4)
    assert sigmas(SCHEDULES["Stable Diffusion 1.5"])[-1].item() == pytest.approx(14.6146, abs=1e-4)


@pytest.mark.parametrize("call, message", [
    (lambda: lcm_timesteps(100, 101), "101 steps asked for, but this schedule has only 100 timesteps"),
    (lambda: lcm_timesteps(100, 30, 0.2), "30 steps asked for, but this schedule has only 20 timesteps"),
    (lambda: spaced_indices(100, 30, 0.2), r"30 steps at denoise 0.2 \(150 in all\)"),
    (lambda: lcm_timesteps(100, 0), "steps is 0"),
    (lambda: lcm_timesteps(100, 4, 0.0), "strength is 0.0"),
    (lambda: spaced_indices(100, 4, 1.5), "denoise is 1.5"),
    (lambda: lcm_timesteps(30, 4), "original_steps is 30; expected a divisor of 1000"),
    (lambda: Schedule("linear", 0.00085, 0.012, original_steps=0), "original_steps is 0"),
    (lambda: Schedule("sqrt_linear", 0.00085, 0.012), "beta_schedule is 'sqrt_linear'"),
    (lambda: Schedule("linear", 0.012, 0.00085), "betas run from 0.012 to 0.00085"),
])
def test_what_is_out_of_range_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()

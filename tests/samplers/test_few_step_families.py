"""Other few-step families: our schedules and samplers against diffusers' schedulers, as their authors use them."""

import pytest
import torch
from animatelcm.samplers.lcm import sample_lcm
from animatelcm.samplers.schedules import SCHEDULES, grid, sigmas, spaced_indices
from diffusers import DDIMScheduler, EulerDiscreteScheduler, TCDScheduler

BETAS = {"beta_start": 0.00085, "beta_end": 0.012}


def run_sigmas(name, steps):
    """The noise levels of a run, as AnimateLCM Scheduler gives them, and their timesteps."""
    known = grid(SCHEDULES[name])
    timesteps = known[[len(known) - 1 - i for i in spaced_indices(len(known), steps)]]
    return torch.cat([sigmas(SCHEDULES[name])[timesteps], torch.zeros(1)]), timesteps.tolist()


def eps(z, sigma):
    """A noise prediction that depends on both, for latents in the DDPM scale."""
    return torch.sin(z) + 0.1 * torch.log(sigma)


def ours(x, levels, gamma, noise=None):
    def model(x, sigma):
        level = sigma.view(-1, 1, 1, 1)
        return x - level * eps(x / (level**2 + 1).sqrt(), level)

    noises = iter(noise if noise is not None else [])
    return sample_lcm(model, x, levels, gamma, lambda *_: next(noises) if noise is not None else torch.zeros_like(x))


def theirs(scheduler, z, **options):
    """Run a diffusers scheduler from a latent in the DDPM scale; return the latent and the last noise prediction."""
    a = scheduler.alphas_cumprod.double()
    for timestep in scheduler.timesteps:
        noise = eps(z, ((1 - a[timestep]) / a[timestep]).sqrt().float())
        z = scheduler.step(noise, timestep, z, **options).prev_sample
    return z, noise


@pytest.fixture
def noise():
    return torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_animatediff_lightning_is_euler_at_trailing_timesteps(noise, steps):
    scheduler = EulerDiscreteScheduler(beta_schedule="linear", timestep_spacing="trailing", **BETAS)
    scheduler.set_timesteps(steps)
    levels, timesteps = run_sigmas("AnimateDiff", steps)
    assert timesteps == scheduler.timesteps.long().tolist()
    torch.testing.assert_close(levels, scheduler.sigmas.float(), rtol=1e-4, atol=1e-5)
    x = expected = noise * levels[0]
    for timestep, level in zip(scheduler.timesteps, levels, strict=False):
        expected = scheduler.step(eps(scheduler.scale_model_input(expected, timestep), level), timestep,
                                  expected).prev_sample
    torch.testing.assert_close(ours(x, levels, gamma=0.0), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("steps", [2, 4, 8])
def test_pcm_and_hyper_sd_are_ddim_at_trailing_timesteps(noise, steps):
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", timestep_spacing="trailing", clip_sample=False,
                              set_alpha_to_one=True, **BETAS)
    scheduler.set_timesteps(steps)
    levels, timesteps = run_sigmas("Stable Diffusion 1.5", steps)
    assert timesteps == scheduler.timesteps.tolist()
    result = ours(noise * (levels[0]**2 + 1).sqrt(), levels, gamma=0.0)
    torch.testing.assert_close(result, theirs(scheduler, noise)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("steps", [2, 4, 8])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_tcd_is_the_sampler_with_another_share_at_each_step(noise, steps, eta, monkeypatch):
    """It goes back to the timestep (1 - eta) * next and adds the noise from there."""
    scheduler = TCDScheduler(beta_schedule="scaled_linear", **BETAS)
    scheduler.set_timesteps(steps)
    levels, timesteps = run_sigmas("LCM", steps)
    assert timesteps == scheduler.timesteps.tolist()
    fresh = [torch.randn(noise.shape, generator=torch.Generator().manual_seed(i)) for i in range(steps - 1)]
    left = iter(fresh)
    monkeypatch.setattr("diffusers.schedulers.scheduling_tcd.randn_tensor", lambda *args, **kwargs: next(left))
    z, last = theirs(scheduler, noise, eta=eta)

    table, x, shares = sigmas(SCHEDULES["LCM"]), noise * (levels[0]**2 + 1).sqrt(), []
    for i, timestep in enumerate(timesteps[1:]):
        shares.append(float((1 - (table[int((1 - eta) * timestep)] / table[timestep])**2).sqrt()))
        x = ours(x, levels[i:i + 2], gamma=shares[-1], noise=[fresh[i]])
    result = ours(x, levels[-2:], gamma=0.0)
    # TCD stops at timestep 0, whose little noise is taken away here.
    a = scheduler.alphas_cumprod[0]
    torch.testing.assert_close(result, (z - (1 - a).sqrt() * last) / a.sqrt(), rtol=1e-3, atol=1e-3)
    if (steps, eta) == (4, 0.3):
        assert [round(share, 2) for share in shares] == [0.91, 0.79, 0.68]

"""The multistep consistency sampler on networks small enough to follow."""

import pytest
import torch
from animatelcm.samplers.consistency import boundary_scalings
from animatelcm.samplers.lcm import sample_lcm
from animatelcm.samplers.schedules import SCHEDULES, alphas_cumprod, lcm_timesteps, sigmas
from diffusers import LCMScheduler

SCHEDULE = SCHEDULES["AnimateLCM text-to-video"]
SHAPE = (2, 4, 8, 8)


def levels(steps: int) -> torch.Tensor:
    """Noise levels of a run in float64, with the zero that ends them."""
    a = alphas_cumprod(SCHEDULE)[lcm_timesteps(100, steps)]
    return torch.cat([((1 - a) / a).sqrt(), torch.zeros(1, dtype=a.dtype)])


def network(z: torch.Tensor, timestep: int) -> torch.Tensor:
    """Some smooth function of the latent and the timestep, in place of a UNet that predicts eps."""
    return torch.sin(z + timestep / 300) + 0.3 * z


class Consistency:
    """f(z, t) of a network that predicts eps, called with x and sigma."""

    def __init__(self) -> None:
        self.timesteps: list[int] = []

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        timestep = (sigmas(SCHEDULE) - sigma[0]).abs().argmin()
        self.timesteps.append(int(timestep))
        sigma = sigma.view(-1, 1, 1, 1)
        z = x / (1 + sigma**2).sqrt()
        c_skip, c_out = boundary_scalings(timestep)
        return c_skip * z + c_out * (x - sigma * network(z, int(timestep)))


def noise_source(seed: int):
    generator = torch.Generator().manual_seed(seed)
    return lambda *_: torch.randn(SHAPE, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_equal_to_diffusers_given_the_same_noise(steps):
    scheduler = LCMScheduler(
        beta_schedule="linear", beta_start=0.00085, beta_end=0.012, original_inference_steps=100)
    scheduler.set_timesteps(steps)
    start = noise_source(0)()
    generator, z = torch.Generator().manual_seed(1), start
    for timestep in scheduler.timesteps:
        z = scheduler.step(network(z, int(timestep)), timestep, z, generator=generator).prev_sample

    model, table = Consistency(), levels(steps)
    x = sample_lcm(model, start * (1 + table[0] ** 2).sqrt(), table, noise_sampler=noise_source(1))
    assert model.timesteps == scheduler.timesteps.tolist()
    torch.testing.assert_close(x, z, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("steps", [1, 3, 4, 8])
def test_a_perfect_denoiser_gives_x0_in_any_number_of_steps(steps, gamma):
    x0 = torch.randn(SHAPE)
    assert torch.equal(sample_lcm(lambda x, sigma: x0, torch.randn(SHAPE), levels(steps).float(), gamma), x0)


def test_one_network_call_for_each_step_and_no_noise_after_the_last():
    calls, noises = [], []

    def noise_sampler(sigma, sigma_next):
        noises.append((float(sigma), float(sigma_next)))
        return torch.zeros(SHAPE)

    def model(x, sigma, scale):
        assert sigma.shape == (SHAPE[0],)
        calls.append(float(sigma[0]))
        return x * scale

    table, reports = levels(4).float(), []
    sample_lcm(model, torch.ones(SHAPE), table, noise_sampler=noise_sampler, extra_args={"scale": 0.5},
               callback=lambda state: reports.append(state["i"]))
    assert calls == table[:-1].tolist()
    assert noises == list(zip(calls[:-1], calls[1:], strict=True))
    assert reports == [0, 1, 2, 3]


def test_without_stochasticity_the_noise_source_does_not_matter():
    start = noise_source(0)() * 25
    first, second = (sample_lcm(Consistency(), start, levels(4), 0.0, noise_source(seed)) for seed in (1, 2))
    assert torch.equal(first, second)


def test_every_stochasticity_reaches_the_next_noise_level():
    """With a denoiser that knows x0, what is left is noise of exactly the level asked for."""
    torch.manual_seed(0)
    x0, shape = 3.0, (4, 4, 64, 64)
    for gamma in (0.0, 0.5, 0.9, 1.0):
        x = sample_lcm(lambda x, sigma: torch.full(shape, x0), x0 + 9 * torch.randn(shape), torch.tensor([9.0, 2.0]),
                       gamma)
        assert (x - x0).std().item() == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize("last", [1.0, 0.01])
def test_sigmas_that_end_above_zero_leave_that_much_noise(last):
    x = sample_lcm(lambda x, sigma: torch.zeros(SHAPE), torch.ones(SHAPE), torch.tensor([4.0, 2.0, last]),
                   noise_sampler=lambda *_: torch.ones(SHAPE))
    assert torch.equal(x, torch.full(SHAPE, last))


@pytest.mark.parametrize("gamma", [-0.1, 1.1])
def test_stochasticity_out_of_range_is_refused(gamma):
    with pytest.raises(ValueError, match="gamma is"):
        sample_lcm(Consistency(), torch.ones(SHAPE), levels(1), gamma)


def test_the_callback_gets_what_each_step_began_with_and_what_it_found():
    """k-diffusion's dictionary, from which previews are made."""
    calls, states = [], []

    def model(x, sigma):
        calls.append((x, x / 2))
        return x / 2

    levels = torch.tensor([8.0, 2.0, 0.0])
    result = sample_lcm(model, torch.ones(2, 4, 3, 3), levels, callback=states.append)
    assert [(state["i"], state["sigma"], state["sigma_hat"]) for state in states] == [(0, 8, 8), (1, 2, 2)]
    for state, (x, denoised) in zip(states, calls, strict=True):
        assert torch.equal(state["x"], x) and torch.equal(state["denoised"], denoised)
    assert torch.equal(result, states[-1]["denoised"])


def test_a_frame_with_its_own_share_is_as_with_that_share_for_all():
    shares = torch.tensor([0.3, 1.0])
    start = noise_source(0)() * levels(4)[0]
    both = sample_lcm(Consistency(), start, levels(4), shares.view(-1, 1, 1, 1), noise_source(1))
    for frame, share in enumerate(shares.double().tolist()):
        alone = sample_lcm(Consistency(), start, levels(4), share, noise_source(1))
        torch.testing.assert_close(both[frame], alone[frame], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(both[0], sample_lcm(Consistency(), start, levels(4), 1.0, noise_source(1))[0])


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_one_frame_s_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="gamma is"):
        sample_lcm(Consistency(), torch.ones(SHAPE), levels(1), torch.tensor([0.5, share]).view(-1, 1, 1, 1))

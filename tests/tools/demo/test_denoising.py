"""The plain objective that the demo model is trained with."""

from __future__ import annotations

import pytest
import torch
from animatelcm.tools.demo.denoising import ALPHAS_CUMPROD, denoising_loss


def loss_of(error, *timesteps, alike=True):
    """Return the loss of a network whose v is off by `error` everywhere."""
    latent, noise = torch.randn(2, len(timesteps), 4, 3, 3, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor(timesteps)
    alpha = ALPHAS_CUMPROD[timesteps].view(-1, 1, 1, 1)
    v = alpha.sqrt() * noise - (1 - alpha).sqrt() * latent
    return denoising_loss(lambda z, t, context: v + error, latent, torch.zeros(1), timesteps, noise,
                          ALPHAS_CUMPROD, alike).item()


def test_the_right_v_has_no_loss_and_a_wrong_one_has_its_square():
    assert loss_of(0.0, 20, 999) == 0
    assert loss_of(0.2, 500) == pytest.approx(4 * loss_of(0.1, 500), rel=1e-4)


def test_an_error_weighs_less_where_it_is_larger_as_a_rule():
    """Errors of a finished image model, root mean square of v: they count alike, whatever the noise."""
    usual = {120: 0.24, 250: 0.21, 500: 0.26, 800: 0.55, 999: 0.79}
    losses = [loss_of(error, timestep) for timestep, error in usual.items()]
    assert max(losses) / min(losses) < 1.6
    assert max(usual.values()) ** 2 / min(usual.values()) ** 2 > 10


def test_else_an_error_is_its_square_at_every_timestep():
    assert loss_of(0.3, 20, 999, alike=False) == pytest.approx(0.09, rel=1e-4)


def test_clips_of_a_batch_are_weighed_one_by_one():
    assert loss_of(0.3, 20, 999) == pytest.approx((loss_of(0.3, 20) + loss_of(0.3, 999)) / 2, rel=1e-4)


def test_where_the_latent_is_hidden_noise_alone_has_to_lead_to_it():
    """Beside a clip that is shown; each is right where v leads from its z to its clean latent."""
    latent, noise = torch.randn(2, 2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([999, 999])
    alpha = ALPHAS_CUMPROD[timesteps].view(-1, 1, 1, 1)
    seen = []

    def network(z, t, context):
        seen.append(z)
        return (alpha.sqrt() * z - latent) / (1 - alpha).sqrt()

    loss = denoising_loss(network, latent, torch.zeros(1), timesteps, noise, ALPHAS_CUMPROD,
                          hidden=torch.tensor([True, False]))
    assert loss < 1e-10
    assert torch.equal(seen[0][0], noise[0])
    torch.testing.assert_close(seen[0][1], alpha[1].sqrt() * latent[1] + (1 - alpha[1]).sqrt() * noise[1])

"""A world where everything is known in closed form: every number of a latent is drawn from N(MEAN, SPREAD^2)."""

from __future__ import annotations

import torch
from animatelcm.samplers.consistency import boundary_scalings
from animatelcm.samplers.schedules import SCHEDULES, alphas_cumprod
from animatelcm.training.consistency import Diffusion, Network, column
from animatelcm.training.draws import Examples
from torch import Tensor

MEAN, SPREAD = 0.7, 0.5
DIFFUSION = Diffusion(alphas_cumprod(SCHEDULES["AnimateDiff"]), "eps")
EMPTY = torch.zeros(1, 2, 3)


def examples(count: int = 64, seed: int = 0, spread: float = SPREAD) -> Examples:
    noise = torch.randn(count, 4, 5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Examples(MEAN + spread * noise, torch.zeros(count, 2, 3))


def deviation(alpha: Tensor, spread: float = SPREAD) -> Tensor:
    """Return the standard deviation of z_t."""
    return (alpha * spread**2 + 1 - alpha).sqrt()


def teacher(z: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
    """Return E[eps | z], the exact denoiser's prediction."""
    alpha = DIFFUSION.alpha(timesteps, z).double()
    return (1 - alpha).sqrt() * (z - alpha.sqrt() * MEAN) / deviation(alpha) ** 2


def along_the_flow(z: Tensor, timesteps: Tensor, to: Tensor) -> Tensor:
    """Return where the probability flow takes z: its distance from the mean keeps its share of the deviation."""
    alpha, alpha_to = (DIFFUSION.alpha(t, z).double() for t in (timesteps, to))
    return alpha_to.sqrt() * MEAN + deviation(alpha_to) / deviation(alpha) * (z - alpha.sqrt() * MEAN)


def predicting(consistency) -> Network:
    """Return the network that makes f(z, t) what `consistency(z, t)` says."""
    def network(z: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        alpha = DIFFUSION.alpha(timesteps, z).double()
        c_skip, c_out = (column(c.double(), z) for c in boundary_scalings(timesteps))
        # At timestep 0 the network has no say; any number does.
        x0 = (consistency(z, timesteps) - c_skip * z) / c_out.clamp(min=1e-12)
        return (z - alpha.sqrt() * x0) / (1 - alpha).sqrt()
    return network


perfect = predicting(lambda z, timesteps: along_the_flow(z, timesteps, torch.zeros_like(timesteps)))
"""The exact consistency function, as a network."""

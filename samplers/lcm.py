"""The multistep consistency sampler, in the manner of k-diffusion's samplers."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor


@torch.no_grad()
def sample_lcm(
    model: Callable[..., Tensor],
    x: Tensor,
    sigmas: Tensor,
    gamma: float | Tensor = 1.0,
    noise_sampler: Callable[[Tensor, Tensor], Tensor] | None = None,
    extra_args: dict | None = None,
    callback: Callable[[dict], None] | None = None,
) -> Tensor:
    """Jump to a clean latent, go back to the next noise level, and so on (multistep sampling, Song et al. 2023).

    `gamma` is the share of fresh noise in going back (gamma-sampling, Kim et al. 2024): x0 + sigma * noise is followed
    down the straight line that the network predicts to sqrt(1 - gamma^2) sigma, and the rest is noise.

    Args:
        model: Denoised latent from (x, sigma (b,), **extra_args): the consistency function.
        x: Latent at the first noise level, x0 + sigma eps, (b f) c h w.
        sigmas: Noise levels, descending; one network call for each but the last, which is where the result lies.
        gamma: 1 is the sampler of the consistency models, 0 is deterministic and the same as DDIM; a number, or (b f)
            1 1 1 with one for each frame.
        noise_sampler: Gaussian noise like `x` from (sigma, sigma_next); torch's global generator by default.
        extra_args: More arguments for `model`.
        callback: Called after each network call with k-diffusion's dictionary.

    Raises:
        ValueError: gamma is not within 0 and 1.
    """
    check_gamma(gamma)
    noise_sampler = noise_sampler or (lambda sigma, sigma_next: torch.randn_like(x))
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x0 = model(x, sigma.expand(len(x)), **(extra_args or {}))
        if callback is not None:
            callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": x0})
        if sigma_next == 0:
            return x0
        x = renoised(x, x0, sigma, sigma_next, gamma, noise_sampler(sigma, sigma_next))
    return x


def check_gamma(gamma: float | Tensor) -> None:
    """Raise a ValueError where gamma is not within 0 and 1."""
    if not (gamma.ge(0) & gamma.le(1)).all() if isinstance(gamma, Tensor) else not 0 <= gamma <= 1:
        raise ValueError(f"gamma is {gamma}; expected 0 (deterministic) to 1 (all noise fresh)")


def renoised(x: Tensor, x0: Tensor, sigma: Tensor, sigma_next: Tensor, gamma: float | Tensor, noise: Tensor) -> Tensor:
    """Return a clean latent `x0` at the next noise level, with the share `gamma` of fresh noise.

    Args:
        x: The latent that `x0` was predicted from, at the noise level `sigma`.
    """
    kept, fresh = _shares(gamma, x)
    eps = (x - x0) / sigma
    return x0 + sigma_next * (kept * eps + fresh * noise)


def _shares(gamma: float | Tensor, x: Tensor) -> tuple[float | Tensor, float | Tensor]:
    """Return the factors on the noise that the network predicts and on fresh noise, whose squares add up to 1."""
    if isinstance(gamma, Tensor):
        return (1 - gamma.double()**2).sqrt().to(x), gamma.to(x)
    return math.sqrt(1 - gamma**2), gamma

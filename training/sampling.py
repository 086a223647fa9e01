"""Samples from a network that is being trained, to look at."""

from __future__ import annotations

import torch
from torch import Tensor

from ..samplers.lcm import sample_lcm
from ..samplers.schedules import lcm_timesteps
from .consistency import Diffusion, Network, consistency_function


@torch.no_grad()
def sample(network: Network, diffusion: Diffusion, shape: tuple[int, ...], context: Tensor, original_steps: int,
           steps: int = 4, seed: int = 0, phases: int = 1) -> Tensor:
    """Return latents by multistep consistency sampling, as AnimateLCM is sampled (Wang et al. 2024).

    A phased network is sampled from edge to edge of its phases, whatever `steps` is, and without fresh noise.

    Args:
        shape: Of the latents: b c h w, or b f c h w.
        context: b n d.
        original_steps: Timesteps of the distillation grid.
        seed: Of all the noise, which is drawn on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    device = diffusion.alphas_cumprod.device
    timesteps = torch.tensor(lcm_timesteps(original_steps, steps if phases == 1 else phases), device=device)
    alphas = diffusion.alphas_cumprod[timesteps]
    sigmas = torch.cat([((1 - alphas) / alphas).sqrt(), alphas.new_zeros(1)])
    calls = iter(timesteps)

    def fresh(*_: Tensor) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        # x = x0 + sigma eps to z = sqrt(a) x0 + sqrt(1 - a) eps
        z, timestep = x / (1 + sigma[0] ** 2).sqrt(), next(calls).expand(len(x))
        if phases == 1:
            return consistency_function(network, z, timestep, context, diffusion)
        return diffusion.x0_and_eps(network(z, timestep, context), z, timestep)[0]

    return sample_lcm(denoise, sigmas[0] * fresh(), sigmas, 1.0 if phases == 1 else 0.0, noise_sampler=fresh)

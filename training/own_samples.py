"""Clean latents that the student makes itself, so that training shows it what sampling will (Zhai et al. 2024)."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ..samplers.schedules import lcm_timesteps
from .config import DistillationConfig
from .consistency import Diffusion, Network, consistency_function, phased_function
from .draws import Draw, lower_edges


def has_own_samples(config: DistillationConfig, seed: int, number: int) -> bool:
    """Return whether x0 of a batch is what the student makes."""
    return config.own_samples > 0 and bool(torch.rand((), generator=_generator(seed, number)) < config.own_samples)


@torch.no_grad()
def own_samples(student: Network, draw: Draw, config: DistillationConfig, diffusion: Diffusion, seed: int, number: int
                ) -> Tensor:
    """Return x0 of a batch by the student from noise alone, by the captions: in one jump, or edge by edge in phases.

    Where the draw hides x0, it stays zero.
    """
    generator = _generator(seed, number)
    torch.rand((), generator=generator)
    noise = torch.randn(draw.x0.shape, generator=generator).to(draw.x0)
    steps = torch.tensor(lcm_timesteps(config.original_steps, config.phases))
    # As a sampler begins, with sigma * noise in the host's scale.
    z = diffusion.add_noise(torch.zeros_like(noise), noise, steps[:1].expand(len(noise)).to(noise.device))
    for timestep, edge in zip(steps, lower_edges(steps, config.original_steps, config.phases), strict=True):
        at, to = (t.expand(len(z)).to(z.device) for t in (timestep, edge))
        z = (consistency_function(student, z, at, draw.context, diffusion) if config.phases == 1
             else phased_function(student, z, at, to, draw.context, diffusion))
    hidden = ~draw.x0.flatten(1).any(1)
    return z.to(draw.x0) * ~hidden.view(-1, *[1] * (z.ndim - 1))


def _generator(seed: int, number: int) -> torch.Generator:
    """Return a generator unrelated to that of any draw: torch takes 32 bits of a seed, and an offset could meet one."""
    digest = hashlib.blake2b(f"own samples {seed} {number}".encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))

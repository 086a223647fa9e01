"""The data and random numbers of one batch; every batch draws them from its own number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..samplers.schedules import NUM_TIMESTEPS
from .config import DistillationConfig


@dataclass(frozen=True)
class Examples:
    """Images or clips of one batch, on the device that trains."""

    latents: Tensor
    """In the UNet's scale: images b c h w, or clips b f c h w."""
    context: Tensor
    """Their encoded captions, b n d."""
    conditions: Mapping[str, Tensor] = field(default_factory=dict)
    """What else the network is given by name, such as a ControlNet's `hint`."""


def stack(clips: Sequence[Tensor]) -> Tensor:
    """Return clips, f c h w each, as a batch b f c h w; those of one frame are images, b c h w."""
    batch = torch.stack(list(clips))
    return batch[:, 0] if batch.shape[1] == 1 else batch


Source = Callable[[int], Examples]
"""Gives the batch of a number, always the same one: batch k of step s has the number s * accumulation + k."""


@dataclass(frozen=True)
class Draw:
    """What one evaluation of a consistency loss depends on."""

    x0: Tensor
    """Clean latents, b ... ; zero, as a sampler's empty latent, where the network is shown noise alone."""
    noise: Tensor
    """Gaussian, like `x0`."""
    context: Tensor
    """b n d."""
    timesteps: Tensor
    """t_{n+k} of every sample, on the grid, (b,), int64."""
    next_timesteps: Tensor
    """t_n, k grid steps less noise; 0 below the grid's lowest, (b,)."""
    w: Tensor
    """The teacher's guidance for every sample, (b,)."""


def draw(examples: Examples, config: DistillationConfig, seed: int, number: int) -> Draw:
    """Draw a timestep of the grid, noise, and guidance of w_min to w_max for each sample (Luo et al. 2023).

    A share `pure_noise` of the samples is hidden at the last timestep instead: there x0 is zero.

    The numbers come from a generator on the CPU that is seeded by `seed` and `number`, so that they are the same on
    every device and after a resume.
    """
    device, count = examples.latents.device, len(examples.latents)
    generator = torch.Generator().manual_seed((seed * 10_000_019 + number) % 2**63)
    spacing = NUM_TIMESTEPS // config.original_steps
    even = torch.randint(1, config.original_steps + 1, (count,), generator=generator)
    w = config.w_min + (config.w_max - config.w_min) * torch.rand(count, generator=generator)
    noise = torch.randn(examples.latents.shape, generator=generator)
    # Drawn last, so that the other numbers do not depend on it.
    strength, chance, alone = torch.rand(3, count, generator=generator, dtype=torch.float64)
    strong = (strength ** (1 / 6) * config.original_steps).ceil().clamp(min=1).long()
    blind = alone < config.pure_noise
    index = torch.where(blind, config.original_steps, torch.where(chance < config.strong_noise, strong, even))
    timesteps = index * spacing - 1
    following = (timesteps - config.skip * spacing).clamp(min=0)
    shown = (~blind).view(-1, *[1] * (examples.latents.ndim - 1)).to(examples.latents)
    return Draw(
        x0=examples.latents * shown, noise=noise.to(device, examples.latents.dtype), context=examples.context,
        timesteps=timesteps.to(device), next_timesteps=following.to(device), w=w.to(device))

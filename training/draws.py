"""The data and random numbers of one batch; every batch draws them from its own number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import lcm

import torch
from torch import Tensor

from ..samplers.schedules import NUM_TIMESTEPS, lcm_timesteps, phase_edges
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
    """t_{n+k} of every sample, on the grid, int64: (b,), or (b, f) where each frame of a clip has its own."""
    next_timesteps: Tensor
    """t_n, k grid steps less noise, but not below the edge of the phase; 0 below the grid's lowest; likewise."""
    w: Tensor | None
    """The teacher's guidance for every sample, (b,); None: it has none."""
    edges: Tensor | None = None
    """The lower edge of every sample's phase, a timestep; likewise; None: they are not in phases (paper)."""


def draw(examples: Examples, config: DistillationConfig, seed: int, number: int, empty: Tensor | None = None) -> Draw:
    """Draw a timestep of the grid, noise, and guidance of w_min to w_max for each sample (Luo et al. 2023).

    A share `pure_noise` of the samples is hidden at the last timestep instead: there x0 is zero. A share
    `empty_captions` has `empty`, 1 n d, as its context. For the rolling sampler the timesteps are those of its window,
    and each frame goes to the next level of that.

    The numbers come from a generator on the CPU that is seeded by `seed` and `number`, so that they are the same on
    every device and after a resume.
    """
    device, count = examples.latents.device, len(examples.latents)
    generator = generator_of(seed, number)
    spacing = NUM_TIMESTEPS // config.original_steps
    even = torch.randint(1, config.original_steps + 1, (count,), generator=generator)
    w = config.w_min + (config.w_max - config.w_min) * torch.rand(count, generator=generator)
    noise = torch.randn(examples.latents.shape, generator=generator)
    # Drawn last, so that the other numbers do not depend on it.
    strength, chance, alone = torch.rand(3, count, generator=generator, dtype=torch.float64)
    strong = (strength ** (1 / 6) * config.original_steps).ceil().clamp(min=1).long()
    unsaid = torch.rand(count, generator=generator) < config.empty_captions
    blind = alone < config.pure_noise
    index = torch.where(blind, config.original_steps, torch.where(chance < config.strong_noise, strong, even))
    timesteps = index * spacing - 1
    following = timesteps - config.skip_at(number) * spacing
    if config.rolling:
        timesteps = window_timesteps(config, examples.latents.shape[1]).expand(count, -1)
        following = lower_edges(timesteps, config.original_steps, config.rolling)
    edges = lower_edges(timesteps, config.original_steps, config.phases)
    following = torch.maximum(following, edges)
    shown = (~blind).view(-1, *[1] * (examples.latents.ndim - 1)).to(examples.latents)
    return Draw(
        x0=examples.latents * shown, noise=noise.to(device, examples.latents.dtype),
        context=without_captions(examples.context, unsaid, empty),
        timesteps=timesteps.to(device), next_timesteps=following.to(device),
        w=w.to(device) if config.w_max > 0 else None, edges=edges.to(device) if config.phases > 1 else None)


def generator_of(seed: int, number: int) -> torch.Generator:
    """Return what the random numbers of a batch come from."""
    return torch.Generator().manual_seed((seed * 10_000_019 + number) % 2**63)


def window_timesteps(config: DistillationConfig, num_frames: int) -> Tensor:
    """Return the timestep of each frame in the window of the rolling sampler, the least noise in front: (f,), int64."""
    rising = torch.tensor(lcm_timesteps(config.original_steps, config.rolling)[::-1])
    return rising[torch.arange(num_frames) * config.rolling // num_frames]


def lower_edges(timesteps: Tensor, original_steps: int, phases: int) -> Tensor:
    """Return the lower edge of each timestep's phase: the greatest one below it."""
    edges = torch.tensor(phase_edges(original_steps, phases))
    return edges[(torch.searchsorted(edges, timesteps.contiguous()) - 1).clamp(min=0)]


def without_captions(context: Tensor, unsaid: Tensor, empty: Tensor | None) -> Tensor:
    """Return the contexts, b n d, with the empty caption's, 1 n d, where `unsaid`, (b,), says so.

    Raises:
        ValueError: One is to be left out, and the empty caption is not given.
    """
    if not unsaid.any():
        return context
    if empty is None:
        raise ValueError("captions are to be left out, and the context of the empty one is not given")
    # As the host does, and the network attends to the same: a context that is repeated says what it says once.
    length = lcm(context.shape[1], empty.shape[1])
    context, empty = (each.repeat(1, length // each.shape[1], 1) for each in (context, empty))
    return torch.where(unsaid.view(-1, 1, 1).to(context.device), empty.to(context), context)

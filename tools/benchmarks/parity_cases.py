"""What the comparisons with diffusers run on both sides: the sizes, the cases, and what is drawn at random for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .fill import stand_in

Text = tuple[Tensor, Tensor]
"""Conditional and unconditional text features, 1 77 d."""
STEPS, CFG = (1, 2, 4, 8), (1.0, 1.5)
NAME = "steps {}, cfg {}"


@dataclass(frozen=True)
class Size:
    """What is compared: the shape of the UNet, and of the clip."""

    channels: tuple[int, ...]
    heads: int
    context_dim: int
    num_frames: int
    latent: int
    """Height and width of the latents."""


TINY = Size((32, 64, 64, 64), 2, 64, num_frames=5, latent=8)
FULL = Size((320, 640, 1280, 1280), 8, 768, num_frames=16, latent=8)


@dataclass(frozen=True)
class Sampled:
    """What a run gives: the clean latents, f c h w, and the timesteps that the UNet saw."""

    latents: Tensor
    timesteps: tuple[int, ...]


def cases() -> Iterator[tuple[int, float]]:
    """Yield (steps, cfg) of every case."""
    yield from itertools.product(STEPS, CFG)


def inputs(size: Size) -> tuple[Text, Tensor]:
    """Return the text, and the noise of every step, steps f c h w."""
    text = torch.randn(2, 1, 77, size.context_dim, generator=torch.Generator().manual_seed(3))
    shape = (1, 4, size.num_frames, size.latent, size.latent)
    noise = torch.cat([torch.randn(shape, generator=noise_generator(step)) for step in range(max(STEPS))])
    return (text[0], text[1]), noise.transpose(1, 2)


def noise_generator(step: int) -> torch.Generator:
    """Return what the noise of a step is drawn from, on both sides."""
    return torch.Generator().manual_seed(100 + step)


def randomise(network: nn.Module, seed: int) -> Any:
    """Give every parameter stand-in values; here biases and norms vary too, so that none can be mixed up unseen."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        values = stand_in(name, parameter.shape, generator)
        if parameter.ndim < 2:
            values += 0.1 * torch.randn(parameter.shape, generator=generator)
        parameter.data.copy_(values)
    return network.eval().requires_grad_(False)

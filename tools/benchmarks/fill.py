"""Stand-in values for networks whose real weights are not needed: seeded, finite at any depth, quick to make."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def stand_in(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Return float32 values for a parameter: matrices keep the scale of their input, norms are the identity."""
    if len(shape) < 2:
        return torch.zeros(shape) if name.endswith("bias") else torch.ones(shape)
    fan_in = shape[1:].numel()
    # A block is drawn once and repeated: a billion normal numbers would take longer than the measurement.
    block = torch.randn(min(shape.numel(), 2**18 - 1), generator=generator) / fan_in ** 0.5
    return block.repeat(-(-shape.numel() // block.numel()))[:shape.numel()].view(shape)


def fill(network: nn.Module, seed: int) -> nn.Module:
    """Give every parameter of `network` its stand-in values, in place."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        parameter.data.copy_(stand_in(name, parameter.shape, generator))
    return network

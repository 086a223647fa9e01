"""The image encoder once more, as plain formulae in float64, and its files' tensors: what ours is compared with."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def shapes(channels: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a file, by their keys below `img_encoder.`: 38 of them for four levels."""
    found = {"conv_in.weight": (channels[0], 4, 3, 3), "conv_in.bias": (channels[0],)}
    before = channels[0]
    for level, after in enumerate(channels):
        for block in (2 * level, 2 * level + 1):
            layers = {"block1": (after, after, 3, 3), "block2": (after, after, 1, 1)}
            if before != after:
                layers["in_conv"] = (after, before, 1, 1)
            for layer, shape in layers.items():
                found |= {f"body.{block}.{layer}.weight": shape, f"body.{block}.{layer}.bias": shape[:1]}
            before = after
    return found


def random_weights(channels: tuple[int, ...], seed: int = 5) -> dict[str, Tensor]:
    """Return weights that keep the size of what passes, in float32; none is zero."""
    generator = torch.Generator().manual_seed(seed)
    return {key: torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:]) if len(shape) > 1 else 25)
            for key, shape in shapes(channels).items()}


def features(weights: dict[str, Tensor], latents: Tensor, num_frames: int, motion_scale: float) -> list[Tensor]:
    """Return the features of each level, f c h w in float64, of a latent for all frames or one for each."""
    weights = {key: weight.double() for key, weight in weights.items()}
    frames = [_frame(weights, latents[i if len(latents) > 1 else 0], i, motion_scale) for i in range(num_frames)]
    return [torch.stack(level) for level in zip(*frames, strict=True)]


def _frame(weights: dict[str, Tensor], latent: Tensor, number: int, motion_scale: float) -> list[Tensor]:
    h = _convolve(weights, "conv_in", latent.double()[None])
    for channel in range(h.shape[1]):
        angle = number / 10000 ** (2 * (channel // 2) / h.shape[1])
        h[:, channel] += motion_scale * (math.cos(angle) if channel % 2 else math.sin(angle))
    found = []
    blocks = 1 + max(int(key.split(".")[1]) for key in weights if key.startswith("body."))
    for block in range(blocks):
        if block % 2 == 0 and block > 0:
            h = _halve(h)
        if f"body.{block}.in_conv.weight" in weights:
            h = _convolve(weights, f"body.{block}.in_conv", h)
        inner = _convolve(weights, f"body.{block}.block1", h).clamp(min=0)
        h = h + _convolve(weights, f"body.{block}.block2", inner)
        if block % 2 == 1:
            found.append(h[0])
    return found


def _convolve(weights: dict[str, Tensor], layer: str, h: Tensor) -> Tensor:
    weight = weights[f"{layer}.weight"]
    return F.conv2d(h, weight, weights[f"{layer}.bias"], padding=weight.shape[-1] // 2)


def _halve(h: Tensor) -> Tensor:
    """Average each 2 x 2; an odd size has its last row or column twice."""
    h = F.pad(h, (0, h.shape[3] % 2, 0, h.shape[2] % 2), mode="replicate")
    return (h[..., ::2, ::2] + h[..., 1::2, ::2] + h[..., ::2, 1::2] + h[..., 1::2, 1::2]) / 4

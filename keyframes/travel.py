"""What the frames between key frames hold."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

INTERPOLATIONS = ("linear", "hold")


@dataclass(frozen=True)
class Blend:
    """What one frame is made of."""

    first: int
    """Place of a key frame in their list."""
    second: int
    weight: float
    """Share of the second, 0 to 1; 0 at the key frames themselves."""


def blends(keys: Sequence[int], num_frames: int, interpolation: str) -> list[Blend]:
    """Return what each frame is made of; those before the first key frame and after the last are as these are.

    Args:
        keys: Frames of the key frames, ascending.
        interpolation: "linear" goes evenly from one key frame to the next, "hold" stays until the next.

    Raises:
        ValueError: There are no key frames, they do not ascend, or the interpolation is unknown.
    """
    return blends_at(keys, range(num_frames), interpolation)


def blends_at(keys: Sequence[int], moments: Sequence[float], interpolation: str) -> list[Blend]:
    """Return what moments are made of, in any order and also between two frames; the rest is as in `blends`."""
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation is {interpolation!r}; expected one of {', '.join(INTERPOLATIONS)}")
    if not keys or list(keys) != sorted(set(keys)):
        raise ValueError(f"key frames are {list(keys)}; expected one or more, ascending")
    found = []
    for moment in moments:
        first = max(0, bisect_right(keys, moment) - 1)
        second = min(first + 1, len(keys) - 1)
        passed = moment - keys[first]
        moving = interpolation == "linear" and second > first and passed > 0
        found.append(Blend(first, second, passed / (keys[second] - keys[first]) if moving else 0.0))
    return found


def travel(values: Tensor, mixed: Sequence[Blend]) -> Tensor:
    """Return the value of every frame, f ..., from the values of the key frames, k ...; exact at these."""
    weights = torch.tensor([blend.weight for blend in mixed], dtype=values.dtype, device=values.device)
    # In place: over thousands of frames a further copy would be large.
    return values[[blend.first for blend in mixed]].lerp_(
        values[[blend.second for blend in mixed]], weights.view(-1, *[1] * (values.ndim - 1)))


def to_common_length(tokens: Sequence[Tensor]) -> Tensor:
    """Return encoded prompts of different lengths, each 1 n d, as one tensor k m d, by repeating each of them.

    Cross-attention gives the same for tokens and for those tokens over and over, since softmax divides by their number.
    So a repeated prompt acts as it does alone, which neither zeros nor the encoding of an empty text would leave so.
    ComfyUI itself joins prompts in this way.
    """
    length = math.lcm(*(prompt.shape[1] for prompt in tokens))
    return torch.cat([prompt.repeat(1, length // prompt.shape[1], 1) for prompt in tokens])

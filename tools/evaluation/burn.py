"""How much of a clip is burned: too much guidance drives colours to the ends of what a pixel can hold."""

from __future__ import annotations

from torch import Tensor

LEVEL = 1 / 255
"""How near to 0 or 1 a value counts as driven there: one level of an 8-bit frame."""


def burned(clip: Tensor) -> float:
    """Return the share of values at the ends of a clip (f, 3, h, w), values 0 to 1."""
    return ((clip < LEVEL) | (clip > 1 - LEVEL)).float().mean().item()

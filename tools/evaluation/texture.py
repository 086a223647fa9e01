"""How much of the background's moving texture a clip has: what averaging over the unknown loses first."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BORDER = 8
"""Pixels along each side of a frame that show its background."""
FINE, BROAD = 5, 15
"""Sides of the two averages in pixels: their difference keeps half or more of waves of about 8 to 24 pixels."""


def texture_energy(clip: Tensor, masks: Tensor) -> float:
    """Return the mean square of the moving texture of 8 to 24 pixels along the borders.

    What stands still in all frames is left out, so that a horizon is no texture; and so is what is so near the subject
    that the averages would see it.

    Args:
        clip: (f, 3, h, w), values 0 to 1.
        masks: How much of each pixel the subject covers, (f, h, w), 0 to 1.
    """
    bright = clip.float().mean(1, keepdim=True)
    band = (_average(bright, FINE) - _average(bright, BROAD)).squeeze(1)
    moving = band - band.mean(0)
    near = F.max_pool2d(masks.unsqueeze(1), BROAD, 1, BROAD // 2).squeeze(1) > 0.01
    seen = _border(moving) & ~near
    return float((moving.square() * seen).sum() / seen.sum().clamp(min=1))


def _average(bright: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(bright, side, 1, side // 2, count_include_pad=False)


def _border(frames: Tensor) -> Tensor:
    """Return which pixels of frames (f, h, w) lie along the sides."""
    inside = torch.zeros_like(frames, dtype=torch.bool)
    inside[:, BORDER:-BORDER, BORDER:-BORDER] = True
    return ~inside

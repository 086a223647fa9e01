"""How smoothly and how far things move in a clip."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 16
"""Pixels along each side of a matched block."""
REACH = 6
"""Pixels that a block is looked for in each direction, well beyond what the world's fastest subject moves a frame."""


def unexplained_change(clip: Tensor, block: int = BLOCK, reach: int = REACH) -> float:
    """Return the change from frame to frame that no movement of blocks explains, as a mean absolute difference.

    Every block of a frame is compared with the frame before it, shifted by every whole offset within `reach`, and keeps
    the best (block matching, as in video coding). A clip that only moves has little left; flicker and shapes that
    change keep theirs.

    Args:
        clip: (f, 3, h, w), values 0 to 1; height and width at least `block`.
    """
    before, after = clip[:-1].float(), clip[1:].float()
    padded = F.pad(before, [reach] * 4, mode="replicate")
    height, width = clip.shape[-2:]
    best = torch.full((), float("inf"))
    for dy in range(2 * reach + 1):
        for dx in range(2 * reach + 1):
            shifted = padded[..., dy:dy + height, dx:dx + width]
            error = F.avg_pool2d((after - shifted).abs().mean(dim=1, keepdim=True), block)
            best = torch.minimum(best, error)
    return best.mean().item()


def path_per_frame(centres: Tensor) -> float:
    """Return the mean length of the steps from one known centre to the next, in pixels per frame.

    Args:
        centres: (f, 2), x and y in pixels; NaN where there is no object.

    Returns:
        NaN where no two neighbouring frames show the object.
    """
    return centres.diff(dim=0).norm(dim=1).nanmean().item()

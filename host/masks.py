"""Masks with one for each frame: of the noise and of conditionings. The host starts over where they are too few."""

from __future__ import annotations

import torch
from torch import Tensor

ADVICE = "Give it one mask for the whole video, or one for each frame"


def check_masks(conds: dict[str, list[dict]], num_frames: int) -> None:
    """Check that the masks of conditionings belong to a video of so many frames; of more, the first ones are used.

    Raises:
        ValueError: There are several, but fewer than frames.
    """
    for name, entries in conds.items():
        for entry in entries:
            mask: Tensor | None = entry.get("mask")
            # One mask may come without an axis for them.
            count = len(mask) if mask is not None and mask.ndim > 2 else 1
            if 1 < count < num_frames:
                raise ValueError(f"the video has {num_frames} frames, but the {name} conditioning has {count} masks. "
                                 f"{ADVICE}")


def check_noise_masks(mask: Tensor | None, num_frames: int) -> None:
    """Check that the noise masks do not start over in the middle of the video.

    A run gets them only after the host has spread them over the frames. Single key frames at equal distances are what
    people make on purpose, and so is a start that comes back at the end: these pass.

    Args:
        mask: One for each frame, f c h w.

    Raises:
        ValueError: All of the first masks come a second time, in the same order.
    """
    count = period(mask)
    if count is None or 2 * count > num_frames or _has_one_key_frame(mask[:count]):
        return
    raise ValueError(f"the video has {num_frames} frames, but its noise masks start over after {count}: the latent was "
                     f"given {count} masks. {ADVICE}. Masks that repeat on purpose pass where one of them differs a "
                     "little from its first copy")


def period(mask: Tensor | None) -> int | None:
    """Return after how many frames the masks start over, f c h w; None where they do not, or are one for all."""
    if mask is None or len(mask) < 2 or torch.equal(mask[1:], mask[:-1]):
        return None
    return next((count for count in range(2, len(mask)) if torch.equal(mask[count:], mask[:-count])), None)


def _has_one_key_frame(masks: Tensor) -> bool:
    """Say whether all masks but one are the same."""
    _, counts = masks.flatten(1).unique(dim=0, return_counts=True)
    return len(counts) == 2 and counts.min().item() == 1

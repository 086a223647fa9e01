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


def check_noise_masks(masks: Tensor | None, num_frames: int) -> None:
    """Check that the noise masks do not start over in the middle of the video.

    A run gets them only after the host has spread them over the frames, so that their number shows in what repeats.

    Args:
        masks: One for each frame, f c h w.

    Raises:
        ValueError: They start over, and not as masks do that are made so.
    """
    count = starts_over_after(masks)
    if masks is not None and count is not None and not _is_made_so(masks, count):
        raise ValueError(f"the video has {num_frames} frames, but its noise masks start over after {count}: the latent "
                         f"was given {count} masks. {ADVICE}. Masks that repeat on purpose pass where one of them "
                         "differs a little from its first copy")


def starts_over_after(masks: Tensor | None) -> int | None:
    """Return how many masks, f c h w, come before they start over; None where they do not, or are one for all."""
    if masks is None or len(masks) < 2 or torch.equal(masks[1:], masks[:-1]):
        return None
    return next((count for count in range(2, len(masks)) if torch.equal(masks[count:], masks[:-count])), None)


def _is_made_so(masks: Tensor, count: int) -> bool:
    """Say whether masks that start over may be meant so: key frames at equal distances, or an end like the start."""
    _, copies = masks[:count].flatten(1).unique(dim=0, return_counts=True)
    one_key_frame = len(copies) == 2 and copies.min().item() == 1
    again = len(masks) - count
    return one_key_frame or again == 1 or (again < count and len(copies) < count)

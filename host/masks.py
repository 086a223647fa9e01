"""Masks with one for each frame: of the noise and of conditionings. The host starts over where they are too few."""

from __future__ import annotations

from collections import Counter

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
    count = _period(_marks(masks))
    return count if count < len(masks) else None


def _marks(masks: Tensor) -> list[int]:
    """Return a number for each mask, f c h w, the same for equal ones."""
    # One after the other: of a long video they may be many. Adding makes -0 a 0.
    return [hash((mask.float() + 0).cpu().contiguous().numpy().tobytes()) for mask in masks]


def _period(marks: list[int]) -> int:
    """Return after how many marks they start over, or their number (Knuth, Morris and Pratt 1977): in linear time."""
    shares = [0]
    """Of the marks up to each place, how many at the end are those at the start."""
    for mark in marks[1:]:
        share = shares[-1]
        while share and mark != marks[share]:
            share = shares[share - 1]
        shares.append(share + (mark == marks[share]))
    return len(marks) - shares[-1]


def _is_made_so(masks: Tensor, count: int) -> bool:
    """Say whether masks that start over may be meant so: key frames at equal distances, or an end like the start."""
    copies = Counter(_marks(masks[:count])).values()
    one_key_frame = len(copies) == 2 and min(copies) == 1
    again = len(masks) - count
    return one_key_frame or again == 1 or (again < count and len(copies) < count)

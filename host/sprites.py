"""Frames as sprites: the subject cut out from a background that stays, and all frames on one sheet."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def subject_mask(frames: Tensor, kind: str, threshold: float, softness: float, background: Tensor | None = None
                 ) -> Tensor:
    """Return where frames differ from the background, f h w: 0 for the background, 1 for the subject.

    Args:
        frames: f h w c, values 0 to 1.
        kind: One of BACKGROUNDS, which says what the background is where it is not given.
        threshold: Difference of the channel that differs most, up to which a place is background.
        softness: Difference beyond the threshold over which the mask goes up to 1.
        background: 1 h w c, of the frames' size.

    Raises:
        ValueError: The background is of another size or number, the kind is unknown, or the frames are too few for it.
    """
    _check(frames)
    colours = frames[..., :3]
    if background is None:
        if kind not in BACKGROUNDS:
            raise ValueError(f"background_kind is {kind!r}; expected one of {', '.join(BACKGROUNDS)}")
        background = BACKGROUNDS[kind](colours)
    elif len(background) != 1 or background.shape[1:3] != frames.shape[1:3]:
        raise ValueError(f"the background has the shape {tuple(background.shape)}, the frames {tuple(frames.shape)}; "
                         "expected one image of the frames' height and width")
    difference = (colours - background[..., :3].to(colours)).abs().amax(dim=-1)
    return ((difference - threshold) / max(softness, 1e-3)).clamp(0, 1)


def _check(frames: Tensor) -> None:
    if not len(frames):
        raise ValueError("images has no frames; expected at least one. Connect the frames of VAE Decode")


def _plain(frames: Tensor) -> Tensor:
    """Return the colour at most places of the frames' edges, 1 1 1 c."""
    edges = (frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1])
    return _median(torch.cat([edge.flatten(0, 1) for edge in edges])).view(1, 1, 1, -1)


def _still(frames: Tensor) -> Tensor:
    """Return what each place shows at most times, 1 h w c: the mean of what stays, which the subject does not touch."""
    if len(frames) < 3:
        raise ValueError(f"a clip of {len(frames)} frames does not show its background. Connect an image of the "
                         "background, set background_kind to plain, or use at least 3 frames")
    return _median(frames).unsqueeze(0)


def _median(values: Tensor) -> Tensor:
    # Of frames that share their memory, torch 2.14 takes a wrong one.
    return values.contiguous().median(dim=0).values


BACKGROUNDS: dict[str, Callable[[Tensor], Tensor]] = {"plain": _plain, "still": _still}
"""What is known of a background: that it has one colour, or that it is a picture that stays."""


def with_alpha(frames: Tensor, mask: Tensor | None) -> Tensor:
    """Return frames f h w 4, whose colours are 0 where nothing is to be seen.

    Args:
        frames: f h w c, values 0 to 1; a fourth channel is the alpha where there is no mask.
        mask: 1 for what is to be seen, 1 h w or f h w, of any height and width.

    Raises:
        ValueError: There are no frames, or masks for another number of them.
    """
    _check(frames)
    if mask is not None:
        if mask.ndim != 3 or len(mask) not in (1, len(frames)):
            raise ValueError(f"the masks have the shape {tuple(mask.shape)} for {len(frames)} frames; expected one "
                             "mask for all, or one for each frame")
        alpha = mask.to(frames)
        if alpha.shape[1:] != frames.shape[1:3]:
            alpha = F.interpolate(alpha[:, None], frames.shape[1:3], mode="bilinear")[:, 0]
        alpha = alpha.clamp(0, 1).expand(len(frames), -1, -1)
    elif frames.shape[-1] == 4:
        alpha = frames[..., 3]
    else:
        alpha = torch.ones_like(frames[..., 0])
    colours = frames[..., :3] * (alpha > 0).unsqueeze(-1)
    return torch.cat([colours, alpha.unsqueeze(-1)], dim=-1)


def sheet_of(frames: Tensor, columns: int) -> Tensor:
    """Return frames f h w c on one image 1 h w c, from the left to the right and then down; what is left over is 0.

    Args:
        columns: Frames in a row; 0 for as many as make the sheet nearly square in frames.
    """
    count, height, width, channels = frames.shape
    columns = min(columns, count) or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    filled = torch.cat([frames, frames.new_zeros(rows * columns - count, height, width, channels)])
    # (r k) h w c -> 1 (r h) (k w) c
    grid = filled.view(rows, columns, height, width, channels).transpose(1, 2)
    return grid.reshape(1, rows * height, columns * width, channels)

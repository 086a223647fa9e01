"""Frames as sprites: the subject cut out from a background that stays, and all frames on one sheet."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def subject_mask(frames: Tensor, threshold: float, softness: float, background: Tensor | None = None) -> Tensor:
    """Return where frames differ from the background, f h w: 0 for the background, 1 for the subject.

    Without a background the median of each place over the frames is taken, which is the mean of what stays: right where
    the subject is at no place for half of the clip.

    Args:
        frames: f h w c, values 0 to 1.
        threshold: Difference of the channel that differs most, up to which a place is background.
        softness: Difference beyond the threshold over which the mask goes up to 1.
        background: 1 h w c, of the frames' size.

    Raises:
        ValueError: The background is another size or number, or a single frame has none.
    """
    colours = frames[..., :3]
    if background is None:
        if len(frames) < 3:
            raise ValueError(f"a clip of {len(frames)} frames does not show its background. Connect an image of the "
                             "background, or use at least 3 frames")
        # Of frames that share their memory, torch 2.14 takes a wrong median.
        background = colours.contiguous().median(dim=0, keepdim=True).values
    elif len(background) != 1 or background.shape[1:3] != frames.shape[1:3]:
        raise ValueError(f"the background has the shape {tuple(background.shape)}, the frames {tuple(frames.shape)}; "
                         "expected one image of the frames' height and width")
    difference = (colours - background[..., :3]).abs().amax(dim=-1)
    return ((difference - threshold) / max(softness, 1e-3)).clamp(0, 1)


def with_alpha(frames: Tensor, mask: Tensor | None) -> Tensor:
    """Return frames f h w 4, whose colours are 0 where nothing is to be seen.

    Args:
        frames: f h w c, values 0 to 1; a fourth channel is the alpha where there is no mask.
        mask: 1 for what is to be seen, 1 h w or f h w, of any height and width.

    Raises:
        ValueError: There are masks for another number of frames.
    """
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

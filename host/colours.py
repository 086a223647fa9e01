"""The last step of the authors' image-to-video: the colours of the frames go where those of the image are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .image_to_video import fit_images

HUE_SHARE = 0.03
"""Of the way from a frame's mean hue to the reference's; saturation and value go all of it."""


def match_colours(frames: Tensor, reference: Tensor) -> Tensor:
    """Move each frame's mean saturation and value to the reference's, and its mean hue by 3 % of the way.

    As in `adjust_colors` of the code of AnimateLCM's image-to-video (Wang et al. 2024), in floating point: one number
    is added to all pixels. Greys have no hue, and stay grey here.

    Args:
        frames: f h w c, values 0 to 1.
        reference: 1 h w c, or f h w c with one for each frame, of any size; what would be cut off to fit the frames
            does not count.

    Returns:
        The frames, f h w 3.

    Raises:
        ValueError: There are no frames, or neither one reference nor one for each frame.
    """
    if frames.ndim != 4 or not frames.numel():
        raise ValueError(f"the images have the shape {tuple(frames.shape)}; expected (frames, height, width, colours) "
                         "with at least one frame. Connect what VAE Decode puts out")
    if reference.ndim != 4 or not reference.numel() or len(reference) not in (1, len(frames)):
        raise ValueError(f"the reference has the shape {tuple(reference.shape)} for {len(frames)} frames. Connect one "
                         "image, or one for each frame: the same as to Image to Video")
    height, width = frames.shape[1:3]
    # One after the other: a long video needs no more memory than one frame.
    matched = [_match(frame[None], reference[index % len(reference)][None], width, height)
               for index, frame in enumerate(frames)]
    return torch.cat(matched)


def _match(frame: Tensor, reference: Tensor, width: int, height: int) -> Tensor:
    # Not at the top: kornia takes seconds to import.
    from kornia.color import hsv_to_rgb

    hue, saturation, value = _hsv(frame, width, height)
    to_hue, to_saturation, to_value = (channel.mean() for channel in _hsv(reference.to(frame), width, height))
    hue = (hue + HUE_SHARE * (to_hue - hue.mean())).clamp(0, 2 * math.pi)
    moved = (saturation + to_saturation - saturation.mean()).clamp(0, 1)
    saturation = torch.where(saturation > 0, moved, saturation)
    value = (value + to_value - value.mean()).clamp(0, 1)
    return hsv_to_rgb(torch.cat([hue, saturation, value], dim=1)).movedim(1, -1).to(frame)


def _hsv(image: Tensor, width: int, height: int) -> tuple[Tensor, ...]:
    """Return hue in radians, saturation and value of an image 1 h w c, each 1 1 height width."""
    from kornia.color import rgb_to_hsv

    fitted, _ = fit_images(image.float(), width, height)
    return rgb_to_hsv(fitted.movedim(-1, 1)).split(1, dim=1)

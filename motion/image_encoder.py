"""The image encoder of the image-to-video files: features of a reference for every frame (Wang et al. 2024)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .module import sinusoid

LATENT_CHANNELS = 4
"""Channels of the latents of Stable Diffusion 1.5."""

RESIDUAL_BLOCKS_PER_LEVEL = 2
"""Residual blocks of a level."""


class ImageEncoder(nn.Module):
    """Turn a reference latent into one feature map per UNet level and frame, to be added to the UNet's on the way down.

    A frame's features see no other frame. Where all have the same reference, a sinusoid of the frame's number is all
    that tells them apart. The layers are named as in the files, below `img_encoder.`.

    Args:
        channels: Channels of each UNet level, from the finest to the deepest.
        ops: The layer classes: torch.nn, or the host's operations, which cast weights as they are used.
    """

    def __init__(self, channels: tuple[int, ...] = (320, 640, 1280, 1280), ops: Any = nn,
                 dtype: torch.dtype | None = None, device: torch.device | None = None) -> None:
        super().__init__()
        at: dict[str, Any] = {"dtype": dtype, "device": device}
        self.conv_in = ops.Conv2d(LATENT_CHANNELS, channels[0], 3, padding=1, **at)
        self.body = nn.ModuleList()
        for before, after in zip((channels[0], *channels[:-1]), channels, strict=True):
            self.body.append(ResidualBlock(before, after, ops, **at))
            self.body.extend(ResidualBlock(after, after, ops, **at) for _ in range(RESIDUAL_BLOCKS_PER_LEVEL - 1))

    def forward(self, latents: Tensor, num_frames: int, motion_scale: float) -> list[Tensor]:
        """Return the features of each level, f c h w; h and w are halved from level to level, and rounded up.

        Args:
            latents: The reference in the UNet's scale, 1 4 h w for all frames or f 4 h w with one for each.
            num_frames: f, the frames of the clip.
            motion_scale: Factor on the frame's sinusoid: 0.8 is the authors' choice, 0 makes all frames alike.
        """
        h = self.conv_in(latents)
        # f c -> f c 1 1
        h = h + (motion_scale * sinusoid(num_frames, h.shape[1]))[:, :, None, None].to(h)
        features = []
        for index, block in enumerate(self.body):
            level, number = divmod(index, RESIDUAL_BLOCKS_PER_LEVEL)
            if level > 0 and number == 0:
                # The authors repeat the last row or column of an odd size; averaging what is there is the same.
                h = F.avg_pool2d(h, 2, ceil_mode=True, count_include_pad=False)
            h = block(h)
            if number == RESIDUAL_BLOCKS_PER_LEVEL - 1:
                features.append(h)
        return features


class ResidualBlock(nn.Module):
    """Two convolutions with a ReLU between them, around which the input goes unchanged."""

    def __init__(self, before: int, after: int, ops: Any = nn, dtype: torch.dtype | None = None,
                 device: torch.device | None = None) -> None:
        super().__init__()
        at: dict[str, Any] = {"dtype": dtype, "device": device}
        self.in_conv = ops.Conv2d(before, after, 1, **at) if before != after else None
        self.block1 = ops.Conv2d(after, after, 3, padding=1, **at)
        self.block2 = ops.Conv2d(after, after, 1, **at)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (f c h w) with another number of channels, if that is what the block is for."""
        if self.in_conv is not None:
            x = self.in_conv(x)
        return x + self.block2(F.relu(self.block1(x)))

"""The demo model's latent codec: an analytic encoder and a small trained decoder.

A latent cell stands for 8 x 8 pixels and holds their mean luminance and colour and their contrast, standardised over
the world. That is all a plain world needs: where two flat colours meet in a cell, the mix says how far along.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

CELL = 8
"""Pixels along each side of a latent cell."""
SCALE = 0.18215
"""SD1.5's latent scale: the host multiplies by it on the way into the UNet, where latents then have unit variance."""

COLOUR_MATRIX = ((0.299, 0.587, 0.114), (-0.169, -0.331, 0.500), (0.500, -0.419, -0.081))
"""From red, green and blue to luminance and two colour differences (ITU-R BT.601)."""
MEAN = (0.462, -0.012, 0.020, 0.016)
SPREAD = (0.301, 0.077, 0.074, 0.047)
"""About the mean and standard deviation of luminance, the two colour differences and the contrast over the world; the
weights are trained with just these."""


def encode(image: Tensor) -> Tensor:
    """Return the unscaled latent, (b, 4, h / 8, w / 8), of an image (b, 3, h, w) with values -1 to 1."""
    rgb = (image.float() + 1) / 2
    cells = rearrange(rgb, "b c (h p) (w q) -> b c h w (p q)", p=CELL, q=CELL)
    mean = cells.mean(-1)
    contrast = ((cells - mean.unsqueeze(-1)).square().mean((1, -1)) + 1e-6).sqrt()
    colour = torch.einsum("oc,bchw->bohw", rgb.new_tensor(COLOUR_MATRIX), mean)
    z = torch.cat([colour, contrast.unsqueeze(1)], dim=1)
    return (z - _column(z, MEAN)) / _column(z, SPREAD) / SCALE


class Codec(nn.Module):
    """The codec as the host's VAE expects it: `encode` and `decode` on images with values -1 to 1.

    The decoder adds to the enlarged mean colours what a small convolutional network draws: the sharp outlines.
    """

    def __init__(self, width: int = 64, ops=nn) -> None:
        super().__init__()
        self.conv_in = ops.Conv2d(4, width, 3, padding=1)
        self.body = nn.ModuleList(ops.Conv2d(width, width, 3, padding=1) for _ in range(4))
        self.rise = nn.ModuleList(
            ops.Conv2d(width >> i, 4 * (width >> i + 1), 3, padding=1) for i in range(3))
        self.conv_out = ops.Conv2d(width >> 3, 3, 3, padding=1)

    def encode(self, image: Tensor) -> Tensor:
        return encode(image).to(image.dtype)

    def decode(self, latent: Tensor) -> Tensor:
        """Return the image, (b, 3, 8 h, 8 w) with values near -1 to 1, of an unscaled latent (b, 4, h, w)."""
        z = latent * SCALE
        h = F.silu(self.conv_in(z))
        for layer in self.body:
            h = h + F.silu(layer(h))
        for layer in self.rise:
            h = F.silu(F.pixel_shuffle(layer(h), 2))
        return F.interpolate(mean_colour(z), scale_factor=CELL, mode="bilinear") * 2 - 1 + self.conv_out(h)


def mean_colour(z: Tensor) -> Tensor:
    """Return each cell's mean red, green and blue, 0 to 1, from a scaled latent."""
    colour = z[:, :3] * _column(z, SPREAD[:3]) + _column(z, MEAN[:3])
    return torch.einsum("oc,bchw->bohw", torch.tensor(COLOUR_MATRIX).inverse().to(z), colour)


def _column(like: Tensor, values: tuple[float, ...]) -> Tensor:
    return like.new_tensor(values).view(1, -1, 1, 1)

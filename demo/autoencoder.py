"""The demo model's latent codec: 8 x 8 pixels to 4 numbers and back.

The encoder adds what a small network learned to an analytic latent: mean luminance, two colours and contrast of each
cell, standardised over the world. So it starts from something that any decoder can use, and keeps its meaning: the
first three channels go on being colours, which previews show. The decoder draws most of a picture at the size of the
latent, where wide layers cost little.
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
MEAN = (0.591, 0.011, -0.002, 0.067)
SPREAD = (0.212, 0.119, 0.122, 0.062)
"""About the mean and standard deviation of luminance, the two colour differences and the contrast over the world."""


def analytic_latent(rgb: Tensor) -> Tensor:
    """Return mean luminance, two colours and contrast of each cell, standardised: (b, 4, h / 8, w / 8).

    Args:
        rgb: (b, 3, h, w), values 0 to 1.
    """
    cells = rearrange(rgb, "b c (h p) (w q) -> b c h w (p q)", p=CELL, q=CELL)
    mean = cells.mean(-1)
    contrast = ((cells - mean.unsqueeze(-1)).square().mean((1, -1)) + 1e-6).sqrt()
    z = torch.cat([_mixed(rgb.new_tensor(COLOUR_MATRIX), mean), contrast.unsqueeze(1)], dim=1)
    return (z - _column(z, MEAN)) / _column(z, SPREAD)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    """Return the layer with all its weights at zero."""
    for weight in layer.parameters():
        nn.init.zeros_(weight)
    return layer


class Block(nn.Module):
    """A residual block of two convolutions; it changes nothing at first."""

    def __init__(self, width: int, ops=nn) -> None:
        super().__init__()
        self.first = ops.Conv2d(width, width, 3, padding=1)
        self.second = _zero(ops.Conv2d(width, width, 3, padding=1))

    def forward(self, h: Tensor) -> Tensor:
        return h + self.second(F.silu(self.first(F.silu(h))))


class Encoder(nn.Module):
    """What is added to the analytic latent; nothing at first."""

    def __init__(self, width: int = 96, ops=nn) -> None:
        super().__init__()
        self.conv_in = ops.Conv2d(3 * 16, 64, 3, padding=1)
        self.fall = ops.Conv2d(4 * 64, width, 3, padding=1)
        self.body = Block(width, ops)
        self.conv_out = _zero(ops.Conv2d(width, 4, 3, padding=1))

    def forward(self, rgb: Tensor) -> Tensor:
        h = F.silu(self.conv_in(F.pixel_unshuffle(2 * rgb - 1, 4)))
        h = self.body(self.fall(F.pixel_unshuffle(h, 2)))
        return self.conv_out(F.silu(h))


class Decoder(nn.Module):
    """From latents to pictures: wide at the size of the latent, half as wide at each doubling of it."""

    def __init__(self, width: int = 128, depth: int = 4, ops=nn) -> None:
        super().__init__()
        widths = [width >> level for level in range(4)]
        self.conv_in = ops.Conv2d(4, width, 3, padding=1)
        self.body = nn.ModuleList(Block(width, ops) for _ in range(depth))
        self.rise = nn.ModuleList(ops.Conv2d(wide, 4 * narrow, 3, padding=1)
                                  for wide, narrow in zip(widths, widths[1:], strict=False))
        self.refine = nn.ModuleList(Block(narrow, ops) for narrow in widths[1:])
        self.conv_out = _zero(ops.Conv2d(widths[-1], 3, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        h = self.conv_in(z)
        for block in self.body:
            h = block(h)
        for rise, refine in zip(self.rise, self.refine, strict=True):
            h = refine(F.pixel_shuffle(rise(F.silu(h)), 2))
        return self.conv_out(F.silu(h))


class Autoencoder(nn.Module):
    """The codec as the host's VAE expects it: `encode` and `decode` on images with values -1 to 1.

    Its file holds, beside the weights, the mean and spread of its latents over the world, which give each channel unit
    variance whatever the encoder learned, and the factors that make colours of latents for previews.
    """

    mean: Tensor
    spread: Tensor
    rgb_factors: Tensor
    rgb_bias: Tensor

    def __init__(self, ops=nn) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(ops=ops), Decoder(ops=ops)
        self.register_buffer("mean", torch.zeros(1, 4, 1, 1))
        self.register_buffer("spread", torch.ones(1, 4, 1, 1))
        self.register_buffer("rgb_factors", torch.zeros(4, 3))
        self.register_buffer("rgb_bias", torch.zeros(3))

    def encode(self, image: Tensor) -> Tensor:
        """Return the unscaled latent, (b, 4, h / 8, w / 8), of an image (b, 3, h, w) with values -1 to 1."""
        z = (self.raw_latent((image + 1) / 2) - self.mean.to(image)) / self.spread.to(image)
        return (z / SCALE).to(image.dtype)

    def decode(self, latent: Tensor) -> Tensor:
        """Return the image, (b, 3, 8 h, 8 w) with values near -1 to 1, of an unscaled latent (b, 4, h, w)."""
        return 2 * self.picture(latent * SCALE * self.spread.to(latent) + self.mean.to(latent)) - 1

    def raw_latent(self, rgb: Tensor) -> Tensor:
        """Return the latent before its channels are given unit variance, of an image with values 0 to 1."""
        return analytic_latent(rgb.float()).to(rgb.dtype) + self.encoder(rgb)

    def picture(self, raw: Tensor) -> Tensor:
        """Return the image, values near 0 to 1, of a latent as `raw_latent` gives it."""
        colour = F.interpolate(mean_colour(raw), scale_factor=CELL, mode="bilinear")
        return colour + self.decoder(raw)


def mean_colour(raw: Tensor) -> Tensor:
    """Return each cell's mean red, green and blue, about 0 to 1, from a raw latent."""
    colour = raw[:, :3] * _column(raw, SPREAD[:3]) + _column(raw, MEAN[:3])
    return _mixed(torch.tensor(COLOUR_MATRIX).inverse().to(raw), colour)


def _mixed(matrix: Tensor, channels: Tensor) -> Tensor:
    """Multiply the channels, (b, c, h, w), by a matrix, in full precision whatever the layers compute in."""
    return (channels.unsqueeze(1) * matrix.view(1, *matrix.shape, 1, 1)).sum(2)


def _column(like: Tensor, values: tuple[float, ...]) -> Tensor:
    return like.new_tensor(values).view(1, -1, 1, 1)

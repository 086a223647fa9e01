"""Fixed features of a clip, in place of a network's: what is where, how sharp it is, and how it changes.

They were chosen on the world alone, before any model's clips were measured with them: see docs/evaluation.md for what
each kind of damage does to the distance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

NUM_FEATURES = 8 + 7 + 3 + 6 + 6 + 3
COLOURS = ((0.299, 0.587, 0.114), (-0.169, -0.331, 0.500), (0.500, -0.419, -0.081))
"""From red, green and blue to luminance and two colour differences (ITU-R BT.601)."""
FLOOR = 1 / 255
"""Added to what a logarithm is taken of: less cannot be seen, and a frozen clip must not swamp everything else."""
BLOCK = 8
"""Pixels along each side of the cosine transform's blocks."""
HIGH = 4
"""First of the radial bands that count as fine."""


def features_of(clips: Iterable[Tensor]) -> Tensor:
    """Return the features of every clip, (n, d)."""
    return torch.stack([clip_features(clip) for clip in clips])


def clip_features(clip: Tensor) -> Tensor:
    """Return the features of a clip (f, 3, h, w) with values 0 to 1: shape (33,), float64.

    Eight coarse means of luminance and colour; the energy in seven radial bands of a cosine transform, and how it is
    spread over the blocks; gradients at three scales; change over time at two; and how evenly the clip goes on.
    Whether things are what the prompt says, and go where they should, is for `explained.py` to say.
    """
    clip = clip.float().cpu()
    planes = torch.einsum("oc,fchw->ofhw", torch.tensor(COLOURS), clip)
    bright = planes[0]
    parts = (_coarse(planes), *_bands(bright), _gradients(bright), *_changes(bright))
    return torch.cat(parts).double()


def _coarse(planes: Tensor) -> Tensor:
    """Return the mean luminance of four quarters, and two colour differences above and below: (8,)."""
    means = planes.mean(1)
    quarters = F.adaptive_avg_pool2d(means[:1], 2).flatten()
    return torch.cat([quarters, F.adaptive_avg_pool2d(means[1:], (2, 1)).flatten()])


def _bands(bright: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log energy of the radial bands, (7,), and mean, spread and 90 % quantile of the fine one's, (3,)."""
    height, width = bright.shape[-2] // BLOCK * BLOCK, bright.shape[-1] // BLOCK * BLOCK
    blocks = bright[..., :height, :width].unfold(1, BLOCK, BLOCK).unfold(2, BLOCK, BLOCK)
    cosines, band = _cosines(), _radial()
    energy = (cosines @ blocks @ cosines.T).square().flatten(-2)
    bands = torch.stack([energy[..., band == number].mean(-1) for number in range(1, 8)], dim=-1)
    fine = _log(bands[..., HIGH - 1:].mean(-1).sqrt()).flatten()
    return _log(bands.mean((0, 1, 2)).sqrt()), torch.stack([fine.mean(), fine.std(), fine.quantile(0.9)])


def _gradients(bright: Tensor) -> Tensor:
    """Return the log mean and the log 98 % quantile of the gradient's length, at three scales: (6,)."""
    found = []
    for scale in (1, 2, 4):
        small = F.avg_pool2d(bright.unsqueeze(1), scale).squeeze(1)
        length = torch.hypot(small[:, 1:, 1:] - small[:, 1:, :-1], small[:, 1:, 1:] - small[:, :-1, 1:])
        found += [length.mean(), length.flatten(1).quantile(0.98, dim=1).mean()]
    return _log(torch.stack(found))


def _changes(bright: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log change from frame to frame, of that change, and over four frames, at two scales, (6,); and how
    much brightness, sharpness and movement waver, (3,)."""
    found = []
    for scale in (1, 4):
        small = F.avg_pool2d(bright.unsqueeze(1), scale).squeeze(1)
        steps = (small.diff(dim=0), small.diff(n=2, dim=0), small[4:] - small[:-4])
        found += [step.abs().mean() if step.numel() else step.new_zeros(()) for step in steps]
    sharp = _log(bright.diff(dim=2).abs().mean((1, 2)))
    moves = _log(bright.diff(dim=0).abs().mean((1, 2)))
    waver = [bright.mean((1, 2)).diff().abs().mean(), sharp.diff().abs().mean(), moves.diff().abs().mean()]
    return _log(torch.stack(found)), _log(torch.stack([value.nan_to_num() for value in waver]))


def _log(value: Tensor) -> Tensor:
    return (value + FLOOR).log()


@cache
def _cosines() -> Tensor:
    """Return the orthonormal cosine transform of a block's side."""
    places = torch.arange(BLOCK)
    rows = torch.cos(math.pi / BLOCK * (places + 0.5) * places.view(-1, 1)) * math.sqrt(2 / BLOCK)
    return torch.cat([rows[:1] / math.sqrt(2), rows[1:]])


@cache
def _radial() -> Tensor:
    """Return each coefficient's distance from the mean, rounded, and the corner counted to the last band: (64,)."""
    axis = torch.arange(BLOCK).float()
    return torch.hypot(axis.view(-1, 1), axis).round().clamp(max=7).int().flatten()

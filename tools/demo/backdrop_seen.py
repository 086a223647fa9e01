"""Tell the background of a clip from its borders: the class that is likeliest under Gaussians of one covariance.

Nothing is learned from any model's clips: the classes are fitted to the world's own backgrounds (Fisher 1936).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ...demo.backdrops import BACKDROPS, SIZE

BORDER = 8
"""Pixels along the left and the right of a frame that show its background."""
BANDS = 16
"""Stripes of lines whose colour is told apart."""
EXAMPLES = 60
"""Drawings of each background that its class is fitted to."""
FRAMES = 6
SHRINKAGE = 0.1
"""Share of the covariance that is taken as equal in all directions (Ledoit & Wolf 2004 estimate it)."""


@dataclass(frozen=True)
class Classes:
    """The backgrounds as seen along the borders."""

    names: tuple[str, ...]
    means: Tensor
    """(classes, d)."""
    precision: Tensor
    """Inverse of their common covariance, (d, d)."""

    def nearest(self, features: Tensor) -> str:
        away = features - self.means
        return self.names[int(((away @ self.precision) * away).sum(1).argmin())]


def backdrop_of(clip: Tensor) -> str:
    """Return the background's name, of a clip (f, 3, SIZE, SIZE) with values 0 to 1."""
    return classes().nearest(border_features(clip.float().cpu()))


def border_features(clip: Tensor) -> Tensor:
    """Return the colour of the borders in stripes, and how rough they are in each quarter: (60,)."""
    borders = torch.cat([clip[..., :BORDER], clip[..., -BORDER:]], dim=3)
    stripes = borders.unflatten(2, (BANDS, SIZE // BANDS)).permute(1, 2, 0, 3, 4).flatten(2)
    colour = stripes.median(2).values
    bright = borders.mean(1)
    rough = bright - F.avg_pool2d(bright.unsqueeze(1), 5, 1, 2, count_include_pad=False).squeeze(1)
    quarters = (rough.square().unflatten(1, (4, SIZE // 4)).mean((0, 2, 3)).sqrt() + 1 / 255).log()
    moves = bright.diff(dim=0).abs().unflatten(1, (4, SIZE // 4)).mean((0, 2, 3)) if len(clip) > 1 else quarters * 0
    changes = (moves + 1 / 255).log()
    lightness = colour.mean(1)
    return torch.cat([colour.flatten(), quarters * 0.1, changes * 0.1, lightness[:1], lightness[-1:],
                      lightness.std().view(1), colour.std()[None]])


@lru_cache(maxsize=1)
def classes() -> Classes:
    """Fit the classes to the world's backgrounds."""
    groups = []
    for draw in (backdrop.draw for backdrop in BACKDROPS.values()):
        rngs = [torch.Generator().manual_seed(1_000_003 + number) for number in range(EXAMPLES)]
        groups.append(torch.stack([border_features(draw(rng, FRAMES).clamp(0, 1).expand(FRAMES, 3, SIZE, SIZE))
                                   for rng in rngs]))
    means = torch.stack([group.mean(0) for group in groups])
    within = torch.cat([group - mean for group, mean in zip(groups, means, strict=True)]).T.cov()
    size = within.diagonal().mean() * torch.eye(len(within))
    return Classes(tuple(BACKDROPS), means, torch.linalg.inv(torch.lerp(within, size, SHRINKAGE)))

"""Fixed features of a clip, in place of a network's: a plain world needs none.

They are the lowest frequencies of the clip in time and space, and how much it changes over time and over space.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

NUM_FEATURES = 8 + 2 * 3 + 3
"""Few, because the distance of n clips from their own distribution grows with the number of features over n."""
COLOURS = ((0.299, 0.587, 0.114), (-0.169, -0.331, 0.500), (0.500, -0.419, -0.081))
"""From red, green and blue to luminance and two colour differences (ITU-R BT.601)."""


def features_of(clips: Iterable[Tensor]) -> Tensor:
    """Return the features of every clip, (n, d)."""
    return torch.stack([clip_features(clip) for clip in clips])


def clip_features(clip: Tensor) -> Tensor:
    """Return the features of a clip (f, 3, h, w) with values 0 to 1: shape (17,), float64.

    The first eight are the coefficients 0 and 1 of a cosine transform of the luminance over time, height and width:
    what is where, and where it goes. Six are the lowest ones of the two colour differences, without time. The last
    three are logarithms of mean absolute differences: across the picture, from one frame to the next, and of that
    change itself; blur, standing still and flicker show there. A clip that runs backwards hardly differs in any of
    them: whether things go where they should is for the detector to say.
    """
    clip = clip.float().cpu()
    _, _, height, width = clip.shape
    low = (_cosines(len(clip)).T @ clip.flatten(1)).view(2, *clip.shape[1:])
    low = _cosines(height).T @ low @ _cosines(width)
    low = torch.einsum("oc,tcyx->otyx", torch.tensor(COLOURS), low)
    colour = low[1:, 0].flatten(1)[:, :3]  # all but the product of height and width
    over_time = clip.diff(dim=0)
    changes = [torch.cat([clip.diff(dim=axis).abs().flatten() for axis in (2, 3)]), over_time, over_time.diff(dim=0)]
    detail = torch.stack([(change.abs().mean() + 1e-4).log() for change in changes])
    return torch.cat([low[0].flatten(), colour.flatten(), detail]).double()


def _cosines(length: int) -> Tensor:
    """Return the first two orthonormal cosines over `length` samples, divided by its root: (length, 2)."""
    angle = (torch.arange(length) + 0.5) * math.pi / length
    return torch.stack([torch.ones_like(angle), math.sqrt(2) * angle.cos()], dim=1) / length

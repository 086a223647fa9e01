"""Fréchet distance between two sets of clips, over fixed features (the form of FVD, Unterthiner et al. 2018).

FVD takes its features from a network that was trained on real videos. A plain world needs none: here they are the
lowest frequencies of the clip in time and space, and how much it changes over time and over space.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

NUM_FEATURES = 8 + 2 * 3 + 3
"""Few, because the distance of n clips from their own distribution grows with the number of features over n."""
COLOURS = ((0.299, 0.587, 0.114), (-0.169, -0.331, 0.500), (0.500, -0.419, -0.081))
"""From red, green and blue to luminance and two colour differences (ITU-R BT.601)."""


@dataclass(frozen=True)
class Gaussian:
    """Mean, (d,), and covariance, (d, d), of a set of feature vectors, in float64."""

    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True)
class Reference:
    """What clips are compared with."""

    scale: Tensor
    """Standard deviation of every feature, (d,); distances are counted in these."""
    gaussian: Gaussian

    def distance(self, features: Tensor) -> float:
        """Return the Fréchet distance of clips with these features, (n, d), from the reference."""
        return frechet_distance(fit(features / self.scale), self.gaussian)


def reference(features: Tensor) -> Reference:
    """Return the reference that clips with these features, (n, d), make."""
    scale = features.std(dim=0)
    return Reference(scale, fit(features / scale))


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


def fit(features: Tensor) -> Gaussian:
    """Return the Gaussian with the mean and the covariance of feature vectors (n, d).

    Raises:
        ValueError: There are fewer than two.
    """
    if len(features) < 2:
        raise ValueError(f"{len(features)} clips have no covariance; at least 2 are needed")
    features = features.double()
    return Gaussian(features.mean(dim=0), features.T.cov())


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Return |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) (Dowson & Landau 1982).

    The root's trace is the sum of the roots of the eigenvalues of C_a^(1/2) C_b C_a^(1/2), which is symmetric, so that
    rank-deficient covariances of few clips do no harm.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0).sqrt().sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * cross
    return float((a.mean - b.mean).square().sum() + spread)

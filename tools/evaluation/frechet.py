"""Fréchet distance between two sets of clips, over fixed features (the form of FVD, Unterthiner et al. 2018).

FVD takes its features from a network that was trained on real videos; here they are those of `features.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """Mean, (d,), and covariance, (d, d), of a set of feature vectors, in float64."""

    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True)
class FeatureStatistics:
    """What clips are compared with."""

    scale: Tensor
    """Standard deviation of every feature, (d,); distances are counted in these."""
    gaussian: Gaussian

    def distance(self, features: Tensor) -> float:
        """Return the Fréchet distance of clips with these features, (n, d), from the reference."""
        return frechet_distance(fit(features / self.scale), self.gaussian)


def statistics_of(features: Tensor) -> FeatureStatistics:
    """Return the reference that clips with these features, (n, d), make."""
    scale = features.std(dim=0)
    return FeatureStatistics(scale, fit(features / scale))


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

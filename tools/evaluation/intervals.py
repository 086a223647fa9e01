"""Means with the interval in which the true mean lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev


@dataclass(frozen=True)
class Estimate:
    """A mean over independent runs."""

    mean: float
    half_width: float
    """Half of the confidence interval; NaN for a single run."""

    def plain(self) -> dict[str, float | None]:
        """Return both numbers for JSON, which has no NaN: what is unknown is null."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        return f"{self.mean:.3g}" if math.isnan(self.half_width) else f"{self.mean:.3g} ± {self.half_width:.2g}"


def estimate(values: Sequence[float], level: float = 0.95) -> Estimate:
    """Return the mean of independent values and half its confidence interval, by Student's t (Gosset 1908).

    Raises:
        ValueError: There are none.
    """
    if not values:
        raise ValueError("there are no values to average")
    if len(values) == 1:
        return Estimate(values[0], math.nan)
    from scipy import stats

    quantile = stats.t.ppf((1 + level) / 2, len(values) - 1)
    return Estimate(fmean(values), float(quantile) * stdev(values) / math.sqrt(len(values)))

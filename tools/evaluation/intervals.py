"""Figures over independent runs, with approximate 95 % intervals, and what they are without each of the runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import TypeVar

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Estimate:
    """A figure over independent runs."""

    mean: float
    """What all runs together give."""
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
    return Estimate(fmean(values), _scaled_deviation(values, level) / math.sqrt(len(values)))


def leave_one_out(runs: Sequence[R], figures: Callable[[Sequence[R]], T]) -> list[T]:
    """Return the figures of all runs, and where there are several those of all but each of them."""
    without = [[*runs[:number], *runs[number + 1:]] for number in range(len(runs))] if len(runs) > 1 else []
    return [figures(kept) for kept in (runs, *without)]


def jackknife(whole: float, without: Sequence[float], level: float = 0.95) -> Estimate:
    """Return a figure of all runs, and half its confidence interval from leaving each of them out (Tukey 1958).

    For a mean over runs of the same size that is what `estimate` says. It holds for what is no mean as well: a ratio of
    sums, or a distance, which of a single run would be too large.

    Args:
        without: The figure of all runs but one, for each of them; of a single run, nothing.
    """
    if not without:
        return Estimate(whole, math.nan)
    count = len(without)
    return Estimate(whole, _scaled_deviation(without, level) * (count - 1) / math.sqrt(count))


def _scaled_deviation(values: Sequence[float], level: float) -> float:
    """Return the standard deviation times Student's quantile; NaN for a single value, or where one is unknown."""
    if len(values) == 1 or any(map(math.isnan, values)):
        return math.nan
    from scipy import stats

    return float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * stdev(values)

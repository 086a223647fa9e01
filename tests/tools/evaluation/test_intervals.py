"""Intervals hold the true mean as often as they say."""

from __future__ import annotations

import math

import pytest
import torch
from animatelcm.tools.evaluation.intervals import estimate


def test_known_values():
    found = estimate([1.0, 2.0, 3.0])
    # The 97.5 % quantile of Student's t with 2 degrees of freedom is 4.303.
    assert (found.mean, found.half_width) == pytest.approx((2.0, 4.303 / math.sqrt(3)), rel=1e-3)
    assert str(estimate([0.25, 0.25])) == "0.25 ± 0"


def test_one_run_has_no_interval_and_none_is_refused():
    assert math.isnan(estimate([4.0]).half_width) and str(estimate([4.0])) == "4"
    with pytest.raises(ValueError, match="no values"):
        estimate([])


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_share_of_intervals_that_hold_the_mean_is_the_level(level):
    drawn = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0)) * 3 + 7
    estimates = [estimate(row, level) for row in drawn.tolist()]
    held = sum(abs(found.mean - 7) <= found.half_width for found in estimates) / len(estimates)
    assert held == pytest.approx(level, abs=0.03)

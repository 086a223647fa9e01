"""Intervals hold the true mean as often as they say."""

from __future__ import annotations

import math

import pytest
import torch
from animatelcm.tools.evaluation.intervals import estimate, jackknife


def test_known_values():
    found = estimate([1.0, 2.0, 3.0])
    # The 97.5 % quantile of Student's t with 2 degrees of freedom is 4.303.
    assert (found.mean, found.half_width) == pytest.approx((2.0, 4.303 / math.sqrt(3)), rel=1e-3)
    assert str(estimate([0.25, 0.25])) == "0.25 ± 0"


def test_leaving_runs_out_gives_means_the_same_interval():
    values = [1.0, 2.5, 3.0, 7.0]
    without = [(sum(values) - value) / 3 for value in values]
    assert jackknife(sum(values) / 4, without).half_width == pytest.approx(estimate(values).half_width)


def test_leaving_runs_out_holds_for_a_ratio_of_sums():
    drawn = torch.rand(1500, 5, 2, generator=torch.Generator().manual_seed(0)) + torch.tensor([1.0, 0.5])
    ratios = drawn[..., 0].sum(1) / drawn[..., 1].sum(1)
    left = drawn.sum(1, keepdim=True) - drawn
    found = [jackknife(*one) for one in zip(ratios.tolist(), (left[..., 0] / left[..., 1]).tolist(), strict=True)]
    held = sum(abs(one.mean - 1.5) <= one.half_width for one in found) / len(found)
    assert held == pytest.approx(0.95, abs=0.03)


def test_one_run_has_no_interval_and_none_is_refused():
    assert math.isnan(estimate([4.0]).half_width) and str(estimate([4.0])) == "4"
    assert str(jackknife(4.0, [])) == str(jackknife(4.0, [1.0, math.nan])) == "4"
    with pytest.raises(ValueError, match="no values"):
        estimate([])


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_share_of_intervals_that_hold_the_mean_is_the_level(level):
    drawn = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0)) * 3 + 7
    estimates = [estimate(row, level) for row in drawn.tolist()]
    held = sum(abs(found.mean - 7) <= found.half_width for found in estimates) / len(estimates)
    assert held == pytest.approx(level, abs=0.03)

"""Exponential moving averages of weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def copies(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of the weights that no gradient reaches: where an average starts."""
    return {name: weight.detach().clone() for name, weight in weights.items()}


@torch.no_grad()
def update(average: Mapping[str, Tensor], weights: Mapping[str, Tensor], keep: float) -> None:
    """Move `average` in place: average <- keep average + (1 - keep) weights. 0 copies, 1 keeps, both exactly.

    Raises:
        KeyError: A weight has no average, or an average no weight.
    """
    if differing := average.keys() ^ weights.keys():
        raise KeyError(f"average and weights differ in {len(differing)} names, such as {sorted(differing)[0]}")
    names = list(average)
    torch._foreach_lerp_([average[name] for name in names], [weights[name].detach() for name in names], 1 - keep)


def keep_at(step: int, keep: float, warmup: bool) -> float:
    """Return the share to keep at a step: with `warmup`, less at first, so that the start is soon forgotten."""
    return min(keep, (step + 1) / (step + 10)) if warmup else keep

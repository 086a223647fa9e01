"""Say in a line at what one row of a table is better than another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .intervals import Estimate


@dataclass(frozen=True)
class Judged:
    """A figure of two rows."""

    title: str
    better: int
    """1 where more is better, -1 where less is."""
    lead: Estimate
    """By how much the first row's is higher; seeds share prompts and noise."""
    first: float
    second: float


def verdict(name: str, other: str, figures: Sequence[Judged]) -> str:
    """Say at what the row `name` is better than `other`: where the interval of the lead leaves out zero."""
    sides: dict[str, list[str]] = {"better": [], "worse": [], "no difference shown": []}
    for figure in figures:
        if math.isnan(figure.lead.mean):
            continue
        clear = abs(figure.lead.mean) > figure.lead.half_width
        kind = ("better" if figure.lead.mean * figure.better > 0 else "worse") if clear else "no difference shown"
        sides[kind].append(f"{figure.title} ({figure.first:.3g} against {figure.second:.3g})")
    parts = "; ".join(f"{kind}: {', '.join(found)}" for kind, found in sides.items() if found)
    return f"- **{name}**, beside {other}: {parts or 'nothing was measured of both'}."

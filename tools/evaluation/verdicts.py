"""Say in a line at what one row of a table is better than another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .intervals import Estimate, jackknife

LEVEL = 0.95
"""Of the intervals."""
Score = Callable[[float, float], float]
"""From a figure, and what it is of the world, to a number that is higher where the figure is better."""


def higher(figure: float, _: float) -> float:
    return figure


def lower(figure: float, _: float) -> float:
    return -figure


def nearer(figure: float, wanted: float) -> float:
    """Less than what is wanted is too little, and more is noise or jitter: the distance between the logarithms."""
    return -abs(math.log(figure / wanted)) if figure > 0 and wanted > 0 else math.nan


@dataclass(frozen=True)
class Judged:
    """A figure of two rows."""

    title: str
    lead: Estimate
    """By how much the first row is better, in what its score counts; the rows' runs share prompts and noise."""
    first: float
    second: float


def judge(title: str, score: Score, first: Sequence[float], second: Sequence[float], wanted: Sequence[float]) -> Judged:
    """Compare a figure of two rows, each given for all runs together, and then without each of them.

    Args:
        wanted: What it is of the world, likewise.
    """
    whole, *without = (score(one, world) - score(other, world)
                       for one, other, world in zip(first, second, wanted, strict=True))
    return Judged(title, jackknife(whole, without, LEVEL), first[0], second[0])


def verdict(name: str, other: str, figures: Iterable[Judged]) -> str:
    """Say at what the row `name` is better than `other`: where the interval of the lead leaves out zero."""
    sides: dict[str, list[str]] = {"better": [], "worse": [], "no difference shown": []}
    for figure in _known(figures):
        clear = abs(figure.lead.mean) > figure.lead.half_width
        kind = ("better" if figure.lead.mean > 0 else "worse") if clear else "no difference shown"
        sides[kind].append(f"{figure.title} ({figure.first:.3g} against {figure.second:.3g})")
    parts = "; ".join(f"{kind}: {', '.join(found)}" for kind, found in sides.items() if found)
    return f"- **{name}**, beside {other}: {parts or 'nothing was measured of both'}."


def verdicts(pairs: Sequence[tuple[str, str, Sequence[Judged]]]) -> str:
    """Return the verdicts of some pairs of rows as a Markdown list, and how many would come out by chance."""
    count = sum(len(_known(figures)) for *_, figures in pairs)
    lines = [verdict(*pair) for pair in pairs]
    chance = (f"These are {count} comparisons. Without any true difference, about {count * (1 - LEVEL):.0f} of them "
              f"would still come out as better or worse.")
    return "\n".join([*lines, "", chance] if count > 1 else lines)


def _known(figures: Iterable[Judged]) -> list[Judged]:
    return [figure for figure in figures if not math.isnan(figure.lead.mean)]

"""What the tables say of the paper's claims, in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .intervals import Estimate
from .methods import BASELINES, BEST, OURS, TEACHER
from .obeyed import ASKED
from .report import FIGURES, Row


@dataclass(frozen=True)
class Claim:
    """A finding in words and in numbers."""

    lines: list[str]
    figures: dict


def against_teacher(rows: Sequence[Row], steps: int = 4) -> Claim:
    """Say how few steps without guidance compare with the guided teacher."""
    teacher, student = _find(rows, TEACHER), _find(rows, OURS, steps)
    if teacher is None or student is None:
        return Claim([], {})
    # Where prompts name no background, there is none to get right.
    shares = {name: round(_mean(student, name) / max(_mean(teacher, name), 1e-9), 3) for name in ASKED
              if not math.isnan(_mean(student, name))}
    distance = round(_mean(student, "frechet") / _mean(teacher, "frechet"), 3)
    said = ", ".join(f"{FIGURES[name]} {share:.0%}" for name, share in shares.items())
    return Claim([f"AnimateLCM at {steps} steps without guidance reaches of the {teacher.steps}-step guided teacher's "
                  f"accuracy: {said}; its Fréchet distance is {distance:.2f} times the teacher's."],
                 {**shares, "frechet": distance})


def against_baselines(rows: Sequence[Row]) -> list[Claim]:
    """Say where ours is better than each baseline with intervals apart, and how the lead goes on with more steps."""
    names = [*BASELINES, *map(BEST.format, BASELINES)]
    return [_against(rows, name) for name in names if _find(rows, name) is not None and _find(rows, OURS) is not None]


def _against(rows: Sequence[Row], baseline: str) -> Claim:
    pairs = [(ours, other) for ours in rows if ours.method == OURS
             if (other := _find(rows, baseline, ours.steps)) is not None]
    lines, figures = [], {}
    for name, better, factor in (("frechet", "lower distance", -1), ("subject", "the right subject more often", 1)):
        clear = [ours.steps for ours, other in pairs if _clear(ours, other, name, factor)]
        lines.append(f"Against {baseline}, {better} with intervals that do not overlap at "
                     f"{', '.join(map(str, clear)) or 'no number of'} steps.")
        figures[f"{baseline} {name}"] = clear
    times = {ours.steps: round(_mean(other, "frechet") / _mean(ours, "frechet"), 2) for ours, other in pairs}
    leads = {ours.steps: round(_mean(ours, "subject") - _mean(other, "subject"), 3) for ours, other in pairs}
    lines.append(f"{baseline}'s distance is that of AnimateLCM times {_by_steps(times)}; the lead in subjects is "
                 f"{_by_steps(leads)}.")
    return Claim(lines, {**figures, f"{baseline} frechet over ours": times, f"{baseline} subject lead": leads})


def texture_kept(rows: Sequence[Row]) -> Claim:
    """Say how much of the background's texture each method keeps at each number of steps."""
    kept: dict[str, dict[int, float]] = {}
    for row in rows:
        if row.steps is not None:
            kept.setdefault(row.method, {})[row.steps] = round(_mean(row, "texture"), 3)
    lines = [f"Texture kept, {method}: {_by_steps(shares)}." for method, shares in kept.items()]
    return Claim(lines, {"texture kept": kept})


def seed_by_seed(distance: str, ours: str, gains: Mapping[str, Mapping[int, Estimate]]) -> Claim:
    """Say how much nearer one way to train is than each of the others.

    Args:
        distance: What it is called.
        ours: The name of that way.
        gains: By how much it is nearer, by the others' names and by training steps. Seeds share prompts and noise, so
            that the interval is that of the differences.
    """
    lines, figures = [], {}
    for name, points in gains.items():
        said = ", ".join(f"{gain} after {mark}" for mark, gain in points.items())
        lines.append(f"{distance}, {name} less {ours} (above zero, {ours} is nearer): {said} training steps.")
        figures[name] = {mark: gain.plain() for mark, gain in points.items()}
    return Claim(lines, figures)


def _find(rows: Sequence[Row], method: str, steps: int | None = None) -> Row | None:
    return next((row for row in rows if row.method == method and steps in (None, row.steps)), None)


def _mean(row: Row, name: str) -> float:
    return row.figures[name].mean


def _by_steps(values: Mapping[Any, float]) -> str:
    return ", ".join(f"{value:.2f} at {steps}" for steps, value in values.items()) + " steps"


def _clear(ours: Row, other: Row, name: str, factor: int) -> bool:
    """Whether ours is better by more than both half-widths; `factor` is -1 where less is better."""
    one, two = ours.figures[name], other.figures[name]
    return factor * (one.mean - two.mean) > one.half_width + two.half_width

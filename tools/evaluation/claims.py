"""What the tables say of the paper's claims, in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .intervals import estimate
from .report import Row

OBEYED = ("colour", "shape", "direction")


@dataclass(frozen=True)
class Claim:
    """A finding in words and in numbers."""

    lines: list[str]
    figures: dict


def against_teacher(rows: Sequence[Row], steps: int = 4) -> Claim:
    """Say how few steps without guidance compare with the guided teacher."""
    teacher, student = _find(rows, "teacher"), _find(rows, "AnimateLCM", steps)
    if teacher is None or student is None:
        return Claim([], {})
    shares = {name: round(_share(student, name) / max(_share(teacher, name), 1e-9), 3) for name in OBEYED}
    distance = round(_share(student, "frechet") / _share(teacher, "frechet"), 3)
    said = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return Claim([f"AnimateLCM at {steps} steps without guidance reaches of the {teacher.steps}-step guided teacher's "
                  f"obedience: {said}; its Fréchet distance is {distance:.2f} times the teacher's."],
                 {**shares, "frechet": distance})


def against_baselines(rows: Sequence[Row]) -> Claim:
    """Say at which numbers of steps the intervals of distance and obedience lie clear of each baseline's."""
    lines, figures = [], {}
    for baseline in ("DDIM", "DPM++ 2M"):
        pairs = [(ours, other) for ours in rows if ours.method == "AnimateLCM"
                 if (other := _find(rows, baseline, ours.steps)) is not None]
        for name, better, factor in (("frechet", "lower distance", -1), ("obedience", "higher obedience", 1)):
            clear = [ours.steps for ours, other in pairs if _clear(ours, other, name, factor)]
            if pairs:
                lines.append(f"Against {baseline}, {better} with intervals that do not overlap at "
                             f"{', '.join(map(str, clear)) or 'no number of'} steps.")
                figures[f"{baseline} {name}"] = clear
    return Claim(lines, figures)


def seed_by_seed(distance: str, distances: Mapping[str, Mapping[int, Sequence[float]]]) -> Claim:
    """Say how much nearer the first way to train is than each of the others.

    Args:
        distance: What it is called.
        distances: For each seed, by name and by training steps. Seeds share prompts and noise, so that the interval is
            that of the differences.
    """
    [ours, first], *others = distances.items()
    lines, figures = [], {}
    for name, points in others:
        gains = {mark: estimate([other - own for other, own in zip(found, first[mark], strict=True)])
                 for mark, found in points.items()}
        said = ", ".join(f"{gain} after {mark}" for mark, gain in gains.items())
        lines.append(f"{distance}, {name} less {ours} (above zero, {ours} is nearer): {said} training steps.")
        figures[name] = {mark: gain.plain() for mark, gain in gains.items()}
    return Claim(lines, figures)


def _find(rows: Sequence[Row], method: str, steps: int | None = None) -> Row | None:
    return next((row for row in rows if row.method == method and steps in (None, row.steps)), None)


def _share(row: Row, name: str) -> float:
    return row.figures[name].mean


def _clear(ours: Row, other: Row, name: str, factor: int) -> bool:
    """Whether ours is better by more than both half-widths; `factor` is -1 where less is better."""
    one, two = ours.figures[name], other.figures[name]
    return factor * (one.mean - two.mean) > one.half_width + two.half_width

"""The table as Markdown, and its plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .intervals import Estimate

COLUMNS = {"frechet": "Fréchet distance", "colour": "colour", "shape": "shape", "direction": "direction",
           "change": "unexplained change", "motion": "motion"}
PLOTTED = {"frechet": "Fréchet distance (lower is better)", "direction": "share of prompts with the right direction",
           "motion": "motion, 1 is the world's"}


@dataclass(frozen=True)
class Row:
    """One method at one number of steps."""

    method: str
    steps: int | None
    """None for the world itself."""
    cfg: float | None
    figures: dict[str, Estimate]
    """Over seeds, by the names in COLUMNS."""


def plain(row: Row) -> dict:
    """Return a row for JSON, which has no NaN: what is unknown is null."""
    figures = {name: {part: None if math.isnan(value) else value for part, value in asdict(estimate).items()}
               for name, estimate in row.figures.items()}
    return {"method": row.method, "steps": row.steps, "cfg": row.cfg, "figures": figures}


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| method | steps | cfg | " + " | ".join(COLUMNS.values()) + " |", "|---" * (3 + len(COLUMNS)) + "|"]
    for row in rows:
        steps, cfg = ("" if value is None else f"{value:g}" for value in (row.steps, row.cfg))
        lines.append(f"| {row.method} | {steps} | {cfg} | "
                     + " | ".join(str(row.figures[name]) for name in COLUMNS) + " |")
    return "\n".join(lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw the plotted figures over the number of steps, with their intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(PLOTTED), 3.6), layout="constrained")
    few = {method: sorted((row for row in rows if row.method == method), key=lambda row: row.steps)
           for method in dict.fromkeys(row.method for row in rows if row.steps is not None)}
    for axes, (name, title) in zip(figure.subplots(1, len(PLOTTED)), PLOTTED.items(), strict=True):
        for method, points in few.items():
            found = [point.figures[name] for point in points]
            axes.errorbar([point.steps for point in points], [value.mean for value in found],
                          [value.half_width for value in found], label=method, marker="o", capsize=3)
        for row in rows:
            if row.steps is None:
                axes.axhline(row.figures[name].mean, color="grey", linestyle=":", label=row.method)
        axes.set(title=title, xlabel="steps", xscale="log", ylim=(0, None))
        axes.set_xticks(ticks := sorted({row.steps for row in rows if row.steps}), labels=[str(tick) for tick in ticks],
                        minor=False)
        axes.minorticks_off()
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)

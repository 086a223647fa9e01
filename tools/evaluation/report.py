"""Tables as Markdown and JSON, and their plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path

from ...storage.atomic import replacing
from .intervals import Estimate

FIGURES = {"frechet": "Fréchet distance", "accuracy": "accuracy", "subject": "subject", "way": "direction",
           "backdrop": "background", "explained": "explained foreground", "texture": "texture kept",
           "change": "unexplained change", "motion": "motion", "layout": "layout IoU",
           "start": "IoU of the first frame", "burned": "burned"}
"""What a figure of Figures is called, by its name."""
TITLES = FIGURES | {"from_teacher": "distance from the teacher", "avoided": "negative prompt obeyed"}
"""What a row's figure is called."""
PLOTTED = {"frechet": "Fréchet distance (lower is better)", "subject": "share of prompts with the right subject",
           "texture": "texture kept, 1 is the world's through the codec"}
CURVES = {"frechet": "Fréchet distance (lower is better)", "way": "share of prompts with the right direction",
          "from_teacher": "distance from the teacher's clips"}


@dataclass(frozen=True)
class Row:
    """One method at one number of steps."""

    method: str
    steps: int | None
    """None for the world's own clips."""
    cfg: float | None
    figures: dict[str, Estimate]
    """Over seeds, by names in TITLES."""

    def also(self, **figures: Estimate) -> Row:
        """Return the row with more figures."""
        return replace(self, figures=self.figures | figures)


@dataclass(frozen=True)
class Section:
    """A table of the report."""

    title: str
    text: str
    """What was done, as Markdown."""
    columns: tuple[str, ...]
    """Names in TITLES."""
    rows: list[Row]
    claims: dict = field(default_factory=dict)
    """What else was found, for JSON."""

    def markdown(self) -> str:
        return f"## {self.title}\n\n{self.text.strip()}\n\n{table(self.rows, self.columns)}"


def plain(row: Row) -> dict:
    """Return a row for JSON."""
    figures = {name: estimate.plain() for name, estimate in row.figures.items()}
    return {"method": row.method, "steps": row.steps, "cfg": row.cfg, "figures": figures}


def table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return the rows as a Markdown table of the named figures."""
    titles = (TITLES[name] for name in columns)
    lines = ["| method | steps | cfg | " + " | ".join(titles) + " |", "|---" * (3 + len(columns)) + "|"]
    for row in rows:
        steps, cfg = ("" if value is None else f"{value:g}" for value in (row.steps, row.cfg))
        lines.append(f"| {row.method} | {steps} | {cfg} | "
                     + " | ".join(said(row.figures[name]) for name in columns) + " |")
    return "\n".join(lines)


def said(estimate: Estimate) -> str:
    """Return a figure as a table has it; one that does not exist is empty."""
    return "" if math.isnan(estimate.mean) else str(estimate)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw figures over the number of sampling steps, with their intervals; the world's own as lines."""
    lines: dict[str, list[tuple[int, Mapping[str, Estimate]]]] = {}
    for row in rows:
        if row.steps is not None:
            lines.setdefault(row.method, []).append((row.steps, row.figures))
    for points in lines.values():
        points.sort(key=lambda point: point[0])
    _draw(lines, {row.method: row.figures for row in rows if row.steps is None}, PLOTTED, "steps", path)


def plot_training(curves: Mapping[str, Sequence[tuple[int, Row]]], path: Path) -> None:
    """Draw figures over the number of training steps, a line for each name."""
    lines = {name: [(steps, row.figures) for steps, row in points] for name, points in curves.items()}
    _draw(lines, {}, CURVES, "training steps", path)


def _draw(lines: Mapping[str, Sequence[tuple[int, Mapping[str, Estimate]]]], levels: Mapping[str, Mapping],
          columns: Mapping[str, str], over: str, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(columns), 3.6), layout="constrained")
    places = sorted({steps for points in lines.values() for steps, _ in points})
    for axes, (name, title) in zip(figure.subplots(1, len(columns)), columns.items(), strict=True):
        for label, points in lines.items():
            found = [figures[name] for _, figures in points]
            axes.errorbar([steps for steps, _ in points], [value.mean for value in found],
                          [value.half_width for value in found], label=label, marker="o", capsize=3)
        for (label, figures), style in zip(levels.items(), cycle((":", "--"))):
            axes.axhline(figures[name].mean, color="grey", linestyle=style, label=label)
        axes.set(title=title, xlabel=over, xscale="log", ylim=(0, None))
        axes.set_xticks(places, labels=[str(place) for place in places], minor=False)
        axes.minorticks_off()
    axes.legend()
    with replacing(path) as unfinished:
        figure.savefig(unfinished, dpi=110, format="png")

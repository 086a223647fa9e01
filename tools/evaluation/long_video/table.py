"""Compare Long Video and the Rolling Sampler on the demo model, and write docs/long-video.md.

    python dev.py long-video-table [--variants]

Killed and started again, it goes on where it was. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....storage.atomic import write_text
from ..arguments import DOCS, whole_or_elsewhere
from ..intervals import Estimate, jackknife
from ..measure import noise_seed, scenes
from ..methods import SEEDS, ours_of
from ..runner import ROOT
from ..verdicts import Judged, judge, verdicts
from . import page, pictures
from .columns import COLUMNS, legend
from .figures import Row, of_runs, over_stretches, row, sum_up
from .measure import EVERY, STRETCH, Video, looked_at
from .runner import LongRunner
from .tuned import CLIPS, STEPS
from .ways import ANCHORED, LONG_VIDEO, MAIN, ONE_PIECE, ROLLING, TUNED, VARIANTS, WAYS, Way

PICTURED, PICTURED_FRAMES = 3, 64
"""Prompts and frames of the moving picture, at most: the whole videos would be large."""


@dataclass(frozen=True)
class Table:
    """What was measured of all ways."""

    runs: dict[str, list[list[Video]]]
    """By way: the videos of each seed."""

    @property
    def rows(self) -> dict[str, Row]:
        return {name: row(name, runs) for name, runs in self.runs.items()}

    def judged(self, name: str, other: str) -> list[Judged]:
        """Return the figures by which one way is better or worse than another."""
        ours, theirs = (of_runs(self.runs[way], sum_up) for way in (name, other))
        return [judge(column.title, column.score, [getattr(figures, figure) for figures in ours],
                      [getattr(figures, figure) for figures in theirs], [1.0] * len(ours))
                for figure, column in COLUMNS.items() if column.score]

    def verdicts(self, pairs: Iterable[tuple[Way, Way]]) -> str:
        """Say at what each way is better than another one; pairs of which one was not measured are left out."""
        return verdicts([(way.name, other.name, self.judged(way.name, other.name))
                         for way, other in pairs if way.name in self.runs and other.name in self.runs])

    def curves(self, name: str) -> dict[str, list[Estimate]]:
        """Return what becomes of a way's videos, an estimate for each stretch."""
        whole, *without = of_runs(self.runs[name], over_stretches)
        return {figure: [jackknife(value, [some[figure][at] for some in without]) for at, value in enumerate(values)]
                for figure, values in whole.items()}


def markdown(table: Table, seeds: int, prompts: int, frames: int) -> str:
    """Return the page."""
    rows, variants = table.rows, [way.name for way in VARIANTS]
    tried = [rows[name] for name in variants if name in rows]
    section = page.VARIANTS.format(tables=page.tables(tried), verdicts=table.verdicts(VARIANTS.items())
                                   ) if tried else ""
    whole = " --variants" if len(tried) == len(variants) else ""
    return page.PAGE.format(
        seeds=seeds, prompts=prompts, frames=frames, videos=seeds * prompts, legend=legend(), whole=whole,
        stretch=STRETCH, step=EVERY * STRETCH, variants=section,
        tuning_steps=STEPS, tuning_clips=CLIPS,
        verdicts=table.verdicts([*((way, LONG_VIDEO) for way in (ROLLING, ANCHORED, TUNED)), (TUNED, ROLLING)]),
        tables=page.tables([found for name, found in rows.items() if name not in variants]))


def picture(run: LongRunner, ways: Sequence[Way], prompts: int, frames: int, path: Path) -> None:
    """Write the moving picture: the first prompts of the first seed in each of the ways."""
    prompts, frames = min(prompts, PICTURED), min(frames, PICTURED_FRAMES)
    # The whole names are wider than a video.
    labels = {way: way.name.removeprefix(f"{ROLLING.name}, ") for way in ways}
    pictures.animate([{label: run.video(way, scene, noise_seed(0, number), frames).clip
                       for way, label in labels.items()} for number, scene in enumerate(scenes(0, prompts))], path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ways", nargs="*", default=[way.name for way in (ONE_PIECE, *MAIN)], choices=list(WAYS),
                        help="rows")
    parser.add_argument("--variants", action="store_true", help="add rows for other settings, which take three times "
                                                                "as long")
    parser.add_argument("--motion", type=Path, help="another distilled motion file")
    parser.add_argument("--lora", type=Path, help="another distilled spatial LoRA")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="sets of prompts and noise, for the intervals")
    parser.add_argument("--prompts", type=int, default=4, help="videos of a run")
    parser.add_argument("--frames", type=int, default=256, help="of a video")
    parser.add_argument("--folder", type=Path, default=ROOT / "output" / "long-video-table",
                        help="where the videos' figures go")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where long-video.md and its pictures go")
    return whole_or_elsewhere(parser, "ways", "motion", "lora")


def main() -> None:
    chosen = _arguments()
    parts = ours_of(chosen.motion, chosen.lora)
    run, ways = LongRunner(chosen.folder, parts), [WAYS[name] for name in chosen.ways]
    ways += VARIANTS if chosen.variants else []
    # Seed by seed, so that a run that is cut short has something of every way.
    runs: dict[str, list[list[Video]]] = {way.name: [] for way in ways}
    for seed in range(chosen.seeds):
        for way in ways:
            runs[way.name].append(run(way, seed, chosen.prompts, chosen.frames))
    table = Table(runs)
    text = markdown(table, chosen.seeds, chosen.prompts, chosen.frames)
    begins = [frames.start for frames in looked_at(chosen.frames)]
    pictures.plot(begins, {way.name: table.curves(way.name) for way in MAIN if way in ways},
                  chosen.docs / "long-video.png")
    picture(run, [way for way in MAIN if way in ways] or ways, chosen.prompts, chosen.frames,
            chosen.docs / "long-video.webp")
    write_text(chosen.docs / "long-video.md", text)
    figures = {name: {figure: value.plain() for figure, value in found.figures.items()}
               for name, found in table.rows.items()}
    print(text, json.dumps({"ways": figures, "seeds": chosen.seeds, "prompts": chosen.prompts,
                            "frames": chosen.frames}, allow_nan=False), sep="\n")


if __name__ == "__main__":
    main()

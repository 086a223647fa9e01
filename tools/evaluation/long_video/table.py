"""Compare Long Video and the Rolling Sampler on the demo model, and write docs/long-video.md.

    python dev.py long-video-table --seeds 5 --prompts 20 --frames 256

Killed and started again, it goes on where it was. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....storage.atomic import write_text
from ..intervals import Estimate, jackknife
from ..measure import noise_seed, scenes
from ..methods import SEEDS, ours_of
from ..runner import ROOT
from . import page, pictures
from .columns import COLUMNS, legend
from .figures import Row, over_stretches, row, sum_up, without_each
from .measure import EVERY, STRETCH, Video, looked_at
from .runner import LongRunner
from .tuned import CLIPS, STEPS
from .ways import ANCHORED, LONG_VIDEO, MAIN, ROLLING, TUNED, VARIANTS, WAYS, Way

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

    def leads(self, name: str, other: str) -> dict[str, Estimate]:
        """Return by how much one way's figures are higher than another's; seeds share prompts and noise."""
        pairs = zip(*(without_each(self.runs[way], sum_up) for way in (name, other)), strict=True)
        judged = [figure for figure, column in COLUMNS.items() if column.better]
        whole, *without = ({figure: getattr(ours, figure) - getattr(theirs, figure) for figure in judged}
                           for ours, theirs in pairs)
        return {figure: jackknife(whole[figure], [some[figure] for some in without]) for figure in judged}

    def verdicts(self, pairs: Iterable[tuple[Way, Way]]) -> str:
        """Say at what each way is better than another one; pairs of which one was not measured are left out."""
        rows = self.rows
        return "\n".join(page.verdict(way.name, other.name, self.leads(way.name, other.name), rows)
                         for way, other in pairs if way.name in rows and other.name in rows)

    def curves(self, name: str) -> dict[str, list[Estimate]]:
        """Return what becomes of a way's videos, an estimate for each stretch."""
        whole, *without = without_each(self.runs[name], over_stretches)
        return {figure: [jackknife(value, [some[figure][at] for some in without]) for at, value in enumerate(values)]
                for figure, values in whole.items()}


def markdown(table: Table, seeds: int, prompts: int, frames: int) -> str:
    """Return the page."""
    rows, variants = table.rows, [way.name for way in VARIANTS]
    tried = [rows[name] for name in variants if name in rows]
    section = page.VARIANTS.format(tables=page.tables(tried), verdicts=table.verdicts(VARIANTS.items())
                                   ) if tried else ""
    return page.PAGE.format(
        seeds=seeds, prompts=prompts, frames=frames, videos=seeds * prompts, legend=legend(),
        stretch=STRETCH, step=EVERY * STRETCH, variants=section,
        tuning_steps=STEPS, tuning_clips=CLIPS,
        verdicts=table.verdicts([*((way, LONG_VIDEO) for way in (ROLLING, ANCHORED, TUNED)), (TUNED, ROLLING)]),
        tables=page.tables([found for name, found in rows.items() if name not in variants]))


def picture(run: LongRunner, ways: Sequence[Way], prompts: int, frames: int, path: Path) -> None:
    """Write the moving picture: the first prompts of the first seed in each of the ways."""
    prompts, frames = min(prompts, PICTURED), min(frames, PICTURED_FRAMES)
    pictures.animate([{way.name: run.video(way, scene, noise_seed(0, number), frames).clip for way in ways}
                      for number, scene in enumerate(scenes(0, prompts))], path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS), help="rows; all by default")
    parser.add_argument("--motion", type=Path, help="another distilled motion file")
    parser.add_argument("--lora", type=Path, help="another distilled spatial LoRA")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="independent runs, for the intervals")
    parser.add_argument("--prompts", type=int, default=20, help="videos of a run")
    parser.add_argument("--frames", type=int, default=256, help="of a video")
    parser.add_argument("--folder", type=Path, default=ROOT / "output" / "long-video-table",
                        help="where the videos' figures go")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where long-video.md and its pictures go")
    return parser.parse_args()


def main() -> None:
    chosen = _arguments()
    parts = ours_of(chosen.motion, chosen.lora)
    run, ways = LongRunner(chosen.folder, parts), [WAYS[name] for name in chosen.ways]
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

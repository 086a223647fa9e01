"""The paper's first table in miniature, on the demo model: few-step samplers, ours, and the guided teacher.

    python dev.py paper-table --seeds 3 --prompts 32

Killed and started again, it goes on where it was. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median

from torch import Tensor
from tqdm import tqdm

from ..demo import world
from ..demo.files import WEIGHTS
from ..demo.obedience import DemoSampler, Settings
from .frechet import Reference
from .intervals import estimate
from .measure import Figures, measure_run, scenes, sum_up, world_reference
from .methods import Method, methods
from .report import COLUMNS, Row, plain, plot, table

ROOT = Path(__file__).resolve().parent.parent
SEARCH_SEED = 99
"""Prompts that guidance is chosen on; no figure of the table comes from them."""
SOURCES = ("demo/world.py", "demo/detector.py", "demo/codec.py", "demo/vocabulary.py", "demo/obedience.py",
           "evaluation/frechet.py", "evaluation/motion.py", "evaluation/measure.py")
"""Where the world is described and how it is measured; what was measured with others is measured again."""
TEACHER_STEPS = 50
"""Steps of the guided teacher that the paper takes the time of."""
PAGE = """# The paper's table in miniature

Made by `python dev.py paper-table --seeds {seeds} --prompts {prompts} --search-prompts {search_prompts}` on the demo
model: {clips} clips of 16 frames for each row, the same prompts and the same noise in all rows. Figures are means over
{seeds} seeds of {prompts} prompts each, with 95 % intervals by Student's t.

{table}

![The figures over the number of steps](paper-table.png)

- **Fréchet distance** between the clips and the world, over the fixed features of `evaluation/frechet.py`. Clips of the
  world itself have the distance in the first row, because so few clips do not show their distribution exactly.
- **colour, shape, direction**: the share of prompts whose clip shows them, as `demo/detector.py` sees it.
- **unexplained change**: what changes from frame to frame and is no movement, over the same in the world's own clip.
- **motion**: the length of the object's path over that which the prompt asks for, where an object was seen.

For DDIM and DPM++ 2M the guidance with the lowest distance over {search_prompts} other prompts was taken, for every
number of steps.

{notes}
"""


def chosen_cfg(method: Method, steps: int, run: Callable[..., Figures], prompts: int) -> float:
    """Return the guidance with the lowest Fréchet distance on the prompts of the search."""
    if len(method.cfgs) == 1:
        return method.cfgs[0]
    return min(method.cfgs, key=lambda cfg: run(method, steps, cfg, SEARCH_SEED, prompts).frechet)


def measured(rows: list[tuple[Method, int, float]], run: Callable[..., Figures], seeds: int, prompts: int) -> list[Row]:
    """Return the rows with the estimates over seeds."""
    return [_row(method.name, steps, cfg, [run(method, steps, cfg, seed, prompts) for seed in range(seeds)])
            for method, steps, cfg in rows]


def _row(name: str, steps: int | None, cfg: float | None, runs: list[Figures]) -> Row:
    values = {column: [value for figures in runs if not math.isnan(value := getattr(figures, column))]
              for column in COLUMNS}
    return Row(name, steps, cfg, {column: estimate(found or [math.nan]) for column, found in values.items()})


class Runner:
    """Runs methods, and keeps what it measured in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compared: Reference = world_reference()
        self.sampler = cache(DemoSampler)
        self.bar = tqdm(unit=" clips", mininterval=5)

    def __call__(self, method: Method, steps: int, cfg: float, seed: int, prompts: int) -> Figures:
        """Return the figures of one run."""
        self.bar.set_description(f"{method.name}, {steps} steps, cfg {cfg:g}, seed {seed}")
        sampler = self.sampler(method.motion, method.lora)
        settings = Settings(steps, cfg, method.sampler, method.scheduler)

        def sample(scene: world.Scene, number: int) -> Tensor:
            return sampler(world.caption(scene), number, settings)

        record = self.folder / f"{method.name}-{steps}-{cfg:g}-{seed}-{_digest(method)}.jsonl"
        return sum_up(measure_run(sample, seed, prompts, record, self.bar.update), self.compared)

    def world(self, seed: int, prompts: int) -> Figures:
        """Return the figures of the world's own clips for the prompts of a run."""
        record = self.folder / f"world-{seed}-{_digest(None)}.jsonl"
        return sum_up(measure_run(lambda scene, _: world.render(scene), seed, prompts, record), self.compared)


def _digest(method: Method | None) -> str:
    """Return a name for all that a record depends on: weights, settings, the world and how it is measured."""
    files, settings = [ROOT / name for name in SOURCES], "world"
    if method is not None:
        own = [WEIGHTS / f"{name}.safetensors" for name in ("unet", "text", "codec", "motion")]
        files, settings = [*files, *own, *method.files], f"{method.sampler} {method.scheduler}"
    digest = hashlib.sha256(settings.encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def wall_time_ratio(teacher: DemoSampler, student: DemoSampler, sampler: str, scheduler: str, runs: int) -> float:
    """Return the time of the guided teacher's 50 steps over that of 4 steps without guidance, median of pairs."""
    prompt = world.caption(scenes(0, 1)[0])
    settings = Settings(TEACHER_STEPS, 7.5, "ddim", "normal"), Settings(4, 1.0, sampler, scheduler)

    def seconds(sample: DemoSampler, how: Settings) -> float:
        start = time.perf_counter()
        sample(prompt, 0, how)
        return time.perf_counter() - start

    seconds(student, settings[1])
    return median(seconds(teacher, settings[0]) / seconds(student, settings[1]) for _ in range(runs))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="*", default=list(methods()), choices=list(methods()))
    parser.add_argument("--motion", type=Path, help="another distilled motion file")
    parser.add_argument("--lora", type=Path, help="another distilled spatial LoRA")
    parser.add_argument("--seeds", type=int, default=3, help="independent runs, for the intervals")
    parser.add_argument("--prompts", type=int, default=32, help="clips of a run")
    parser.add_argument("--search-prompts", type=int, default=16, help="clips for each guidance that is tried")
    parser.add_argument("--timings", type=int, default=3, help="pairs of runs that are timed; 0 times nothing")
    parser.add_argument("--folder", type=Path, default=ROOT / "output" / "paper-table", help="where clips' figures go")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where paper-table.md and its plot go")
    return parser.parse_args()


def main() -> None:
    chosen = _arguments()
    known = methods(chosen.motion, chosen.lora)
    wanted = [known[name] for name in chosen.methods]
    notes = [f"{method.name} is not in the table: {', '.join(method.missing)} is missing."
             for method in wanted if method.missing]
    print("\n".join(notes), flush=True)
    run = Runner(chosen.folder)
    found = [(method, steps, chosen_cfg(method, steps, run, chosen.search_prompts))
             for method in wanted if not method.missing for steps in method.steps]
    rows = [_row("the world", None, None, [run.world(seed, chosen.prompts) for seed in range(chosen.seeds)]),
            *measured(found, run, chosen.seeds, chosen.prompts)]
    figures = {"rows": [plain(row) for row in rows], "seeds": chosen.seeds, "prompts": chosen.prompts}
    if chosen.timings:
        ours = known["AnimateLCM"]
        ready = () if ours.missing else (ours.motion, ours.lora)
        ratio = wall_time_ratio(run.sampler(None, None), run.sampler(*(ready or (None, None))), ours.sampler,
                                ours.scheduler, chosen.timings)
        figures["wall_time_ratio"] = round(ratio, 2)
        notes.append(f"{TEACHER_STEPS} steps of the guided teacher take {ratio:.1f} times as long as 4 steps without "
                     f"guidance, in one process, median of {chosen.timings} pairs.")
    plot(rows, chosen.docs / "paper-table.png")
    page = PAGE.format(**vars(chosen), clips=chosen.seeds * chosen.prompts, table=table(rows), notes="\n".join(notes))
    (chosen.docs / "paper-table.md").write_text(page.rstrip() + "\n", encoding="utf-8")
    print(table(rows), json.dumps(figures, allow_nan=False), sep="\n")


if __name__ == "__main__":
    main()

"""The report's sections: which methods are measured, and what is said of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ...demo import world
from ...demo.files import LORA, MODELS
from ..demo.sampler import DemoSampler, Parts, Settings
from . import ablations, page
from .claims import Claim, against_baselines, against_teacher, seed_by_seed
from .intervals import estimate
from .measure import Figures, scenes
from .methods import Method, adapted, compared, ours, personalised
from .report import FIGURES, Row, Section, plot, plot_training
from .runner import OWN, Runner, evidence

SEARCH_SEED = 99
"""Prompts that guidance is chosen on; no figure of the table comes from them."""
TEACHER_STEPS = 50
"""Steps of the guided teacher that the paper takes the time of."""
QUALITY = ("frechet", "obedience", "colour", "shape", "direction", "change", "motion")
FOLLOWED = ("start", "layout", "colour", "shape", "direction", "background", "motion")


@dataclass(frozen=True)
class Scope:
    """What is measured, how much of it, and where it goes."""

    run: Runner
    parts: Parts
    """The distilled files."""
    seeds: int
    prompts: int
    search_prompts: int
    methods: list[str]
    """Of the section samplers, by name."""
    ablation_steps: int
    timings: int
    docs: Path
    """Where the plots go."""

    def row(self, method: Method, steps: int, cfg: float) -> Row:
        """Return a method's row."""
        return row(method.name, steps, cfg, self.runs(method, steps, cfg))

    def runs(self, method: Method, steps: int, cfg: float) -> list[Figures]:
        """Return a method's figures for each seed."""
        return [self.run(method, steps, cfg, seed, self.prompts) for seed in range(self.seeds)]

    def rows(self, methods: list[Method]) -> list[Row]:
        """Return the rows of methods that need no search."""
        return [self.row(method, steps, method.cfgs[0]) for method in methods for steps in method.steps]

    def frechet(self, method: Method) -> list[float]:
        """Return the Fréchet distance for each seed of a method that needs no search."""
        return [run.frechet for run in self.runs(method, method.steps[0], method.cfgs[0])]

    def from_teacher(self, method: Method) -> list[float]:
        """Return the distance between a method's clips and the teacher's for each seed."""
        return [self.run.from_teacher(method, method.steps[0], seed, self.prompts) for seed in range(self.seeds)]

    def world(self) -> Row:
        return row("the world", None, None, [self.run.world(seed, self.prompts) for seed in range(self.seeds)])

    @property
    def trained(self) -> Path:
        """Return where the ablations' weights go: they depend on the teacher's, on the spatial LoRA, and on how."""
        return self.run.folder / "trained" / evidence(ablations.recipes(), [*OWN, MODELS / LORA], ablations.CODE)


def row(name: str, steps: int | None, cfg: float | None, runs: list[Figures]) -> Row:
    """Return the estimates over the runs of a row, one for each seed."""
    values = {figure: [value for run in runs if not math.isnan(value := getattr(run, figure))]
              for figure in FIGURES}
    return Row(name, steps, cfg, {figure: estimate(found or [math.nan]) for figure, found in values.items()})


def chosen_cfg(method: Method, steps: int, run: Callable[..., Figures], prompts: int) -> float:
    """Return the guidance with the lowest Fréchet distance on the prompts of the search."""
    if len(method.cfgs) == 1:
        return method.cfgs[0]
    return min(method.cfgs, key=lambda cfg: run(method, steps, cfg, SEARCH_SEED, prompts).frechet)


def bullets(*claims: Claim) -> str:
    """Return what claims say as a Markdown list."""
    return "\n".join(f"- {line}" for claim in claims for line in claim.lines)


def samplers(scope: Scope) -> Section:
    """The paper's first table, and what it says of the paper's claims."""
    known = compared(scope.parts)
    rows = [scope.world(), *(scope.row(method, steps, chosen_cfg(method, steps, scope.run, scope.search_prompts))
                            for method in (known[name] for name in scope.methods) for steps in method.steps)]
    plot(rows, scope.docs / "paper-table.png")
    claims = [against_teacher(rows), against_baselines(rows), *([wall_time(scope)] if scope.timings else [])]
    text = page.SAMPLERS.format(search_prompts=scope.search_prompts, notes=bullets(*claims))
    return Section("Samplers", text, QUALITY, rows, {key: value for claim in claims
                                                     for key, value in claim.figures.items()})


def wall_time(scope: Scope) -> Claim:
    """Say how long the guided teacher's 50 steps take over 4 steps without guidance: median of pairs of runs."""
    teacher, student, few = scope.run.sampler(Parts()), scope.run.sampler(scope.parts), ours()
    prompt = world.caption(scenes(0, 1)[0])
    settings = Settings(TEACHER_STEPS, 7.5, "ddim", "normal"), Settings(4, 1.0, few.sampler, few.scheduler)

    def seconds(sample: DemoSampler, how: Settings) -> float:
        start = time.perf_counter()
        sample(prompt, 0, how)
        return time.perf_counter() - start

    seconds(student, settings[1])
    ratio = median(seconds(teacher, settings[0]) / seconds(student, settings[1]) for _ in range(scope.timings))
    return Claim([f"{TEACHER_STEPS} steps of the guided teacher take {ratio:.1f} times as long as 4 steps without "
                  f"guidance, text, codec and all, in one process, median of {scope.timings} pairs."],
                 {"wall_time_ratio": round(ratio, 2)})


def personalised_base(scope: Scope) -> Section:
    return Section("A personalised base", page.PERSONALISED, QUALITY, scope.rows(personalised(scope.parts)))


def adapters(scope: Scope) -> Section:
    methods = adapted(scope.parts)
    notes = [f"\n\n{method.name}: there is no {' nor '.join(method.missing)}." for method in methods if method.missing]
    rows = scope.rows([method for method in methods if not method.missing])
    return Section("Adapted without a teacher", "".join([page.ADAPTERS, *notes]), FOLLOWED, rows)


def decoupling(scope: Scope) -> Section:
    methods = ablations.decoupling(scope.trained, scope.ablation_steps)
    claim = seed_by_seed("Fréchet distance", {method.name: {scope.ablation_steps: scope.frechet(method)}
                                              for method in methods})
    text = page.DECOUPLING.format(steps=scope.ablation_steps, notes=bullets(claim))
    return Section("One stage after the other, or both at once", text, QUALITY, scope.rows(methods), claim.figures)


def initialisation(scope: Scope) -> Section:
    marks = tuple(scope.ablation_steps // part for part in (16, 8, 4, 2))
    methods = ablations.initialisations(scope.trained, marks)

    near: dict[str, dict[int, list[float]]] = {name: {} for name in methods}
    world: dict[str, dict[int, list[float]]] = {name: {} for name in methods}
    curves: dict[str, list[tuple[int, Row]]] = {name: [] for name in methods}
    for name, mark, method in ((name, *point) for name, points in methods.items() for point in points):
        # One right after the other, while the clips are remembered.
        world[name][mark], near[name][mark] = scope.frechet(method), scope.from_teacher(method)
        curves[name].append((mark, scope.rows([method])[0].also(from_teacher=estimate(near[name][mark]))))
    plot_training(curves, scope.docs / "paper-table-initialisation.png")
    claims = {"from_teacher": seed_by_seed("Distance from the teacher's clips", near),
              "frechet": seed_by_seed("Fréchet distance", world)}
    text = page.INITIALISATION.format(notes=bullets(*claims.values()))
    return Section("The special initialisation", text, (*QUALITY, "from_teacher"),
                   [found for points in curves.values() for _, found in points],
                   {name: claim.figures for name, claim in claims.items()})


SECTIONS: dict[str, Callable[[Scope], Section]] = {
    "samplers": samplers, "personalised": personalised_base, "adapters": adapters, "decoupling": decoupling,
    "initialisation": initialisation,
}

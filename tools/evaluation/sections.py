"""The report's sections: which methods are measured, and what is said of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from ...demo.captions import caption
from ...demo.files import LORA, MODELS
from ..demo.distil import settings
from ..demo.sampler import DemoSampler, Parts, Settings
from . import ablations, beyond, page
from .beyond import Recipe
from .claims import Claim, against_baselines, against_teacher, seed_by_seed, texture_kept
from .intervals import Estimate, estimate, jackknife, leave_one_out
from .measure import Figures, Run, scenes
from .methods import TEACHER_STEPS, Method, adapted, compared, in_pastel, ours, personalised
from .report import FIGURES, Row, Section, plot, plot_training
from .runner import OWN, Runner, evidence
from .trainings import SEED
from .verdicts import Judged, higher, judge, lower, nearer, verdicts

SEARCH_SEED = 99
"""Prompts that guidance is chosen on; no figure of the table comes from them."""
QUALITY = ("frechet", "accuracy", "subject", "way", "backdrop", "explained", "texture", "change", "motion")
LOOSE = tuple(name for name in QUALITY if name != "backdrop")
"""What is said of clips whose prompts name no background."""
BEYOND = (*QUALITY, "burned")
JUDGED = {"frechet": lower, "subject": higher, "way": higher, "explained": higher, "texture": nearer, "change": nearer,
          "motion": nearer}
"""Figures by which a recipe is said to be better or worse."""
FOLLOWED = ("start", "layout", "subject", "way", "backdrop", "explained", "motion")


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
    """Of the two tables of samplers, by name."""
    ablation_steps: int
    timings: int
    docs: Path
    """Where the plots go."""

    def row(self, method: Method, steps: int, cfg: float) -> Row:
        """Return a method's row."""
        return row(method.name, steps, cfg, self.runs(method, steps, cfg), self.run.figures)

    def runs(self, method: Method, steps: int, cfg: float) -> list[Run]:
        """Return what was measured of a method's clips for each seed."""
        return [self.run(method, steps, cfg, seed, self.prompts) for seed in range(self.seeds)]

    def rows(self, methods: list[Method]) -> list[Row]:
        """Return the rows of methods that need no search."""
        return [self.row(method, steps, method.cfgs[0]) for method in methods for steps in method.steps]

    def nearer(self, method: Method, other: Method) -> Estimate:
        """Return by how much a method's Fréchet distance is less than another's; neither needs a search."""
        of_each = [leave_one_out(self.runs(each, each.steps[0], each.cfgs[0]), self.run.figures)
                   for each in (other, method)]
        whole, *without = ([figures.frechet for figures in found] for found in zip(*of_each, strict=True))
        return jackknife(whole[0] - whole[1], [far - near for far, near in without])

    def judged(self, method: Method, other: Method, steps: int, cfg: float = 1.0) -> list[Judged]:
        """Return the figures of two methods that are better or worse, and how far they are apart."""
        world = [self.run.world_through_codec(method.words, seed, self.prompts) for seed in range(self.seeds)]
        found = [leave_one_out(runs, self.run.figures)
                 for runs in (self.runs(method, steps, cfg), self.runs(other, steps, cfg), world)]
        return [judge(FIGURES[name], score, *([getattr(figures, name) for figures in each] for each in found))
                for name, score in JUDGED.items()]

    def from_teacher(self, method: Method) -> list[float]:
        """Return the distance between a method's clips and the teacher's for each seed."""
        return [self.run.from_teacher(method, method.steps[0], seed, self.prompts) for seed in range(self.seeds)]

    def world(self, words: str) -> list[Row]:
        """Return the rows of the world's own clips, and of those through the codec."""
        made = {"the world": self.run.world, "the world through the codec": self.run.world_through_codec}
        return [row(name, None, None, [run(words, seed, self.prompts) for seed in range(self.seeds)],
                    self.run.figures) for name, run in made.items()]

    @property
    def trained(self) -> Path:
        """Return where the ablations' weights go: they depend on the teacher's, on the spatial LoRA, and on how."""
        return self.run.folder / "trained" / evidence(ablations.recipes(), [*OWN, MODELS / LORA], *ablations.CODE)

    def distilled(self, recipe: Recipe) -> Method:
        """Return what a recipe gives with as many steps as an ablation."""
        folder = self.run.folder / "trained" / evidence("beyond", OWN, *beyond.CODE)
        return beyond.method(recipe, self.ablation_steps, folder)


def row(name: str, steps: int | None, cfg: float | None, runs: list[Run],
        figures: Callable[[Sequence[Run]], Figures]) -> Row:
    """Return the estimates over the runs of a row, one for each seed."""
    whole, *without = leave_one_out(runs, figures)
    return Row(name, steps, cfg, {figure: jackknife(getattr(whole, figure), [getattr(some, figure) for some in without])
                                  for figure in FIGURES})


def chosen_cfg(method: Method, steps: int, run: Runner, prompts: int) -> float:
    """Return the guidance with the lowest Fréchet distance on the prompts of the search."""
    if len(method.cfgs) == 1:
        return method.cfgs[0]
    return min(method.cfgs, key=lambda cfg: run.figures([run(method, steps, cfg, SEARCH_SEED, prompts)]).frechet)


def bullets(*claims: Claim) -> str:
    """Return what claims say as a Markdown list."""
    return "\n".join(f"- {line}" for claim in claims for line in claim.lines)


def samplers(scope: Scope, words: str = "specific") -> Section:
    """The paper's first table, and what it says of the paper's claims."""
    known = compared(scope.parts, words)
    rows = [*scope.world(words),
            *(scope.row(method, steps, chosen_cfg(method, steps, scope.run, scope.search_prompts))
              for method in (known[name] for name in scope.methods) for steps in method.steps)]
    kind, specific = words.replace(" ", "-"), words == "specific"
    picture = "paper-table.png" if specific else f"paper-table-{kind}.png"
    plot(rows, scope.docs / picture)
    claims = [against_teacher(rows), *against_baselines(rows), texture_kept(rows)]
    claims += [wall_time(scope)] if specific and scope.timings else []
    example = page.WORDS[words].format(search_prompts=scope.search_prompts)
    text = page.SAMPLERS.format(words=example, picture=picture, notes=bullets(*claims))
    return Section(f"Samplers, {words}" + (" prompts" if specific else ""), text, QUALITY if specific else LOOSE, rows,
                   {key: value for claim in claims for key, value in claim.figures.items()})


def wall_time(scope: Scope) -> Claim:
    """Say how long the guided teacher's many steps take over 4 steps without guidance: median of pairs of runs."""
    teacher, student, few = scope.run.sampler(Parts()), scope.run.sampler(scope.parts), ours()
    prompt, many = caption(scenes(0, 1)[0]), TEACHER_STEPS[-1]
    settings = Settings(many, Settings().cfg, "ddim", "normal"), Settings(4, 1.0, few.sampler, few.scheduler)

    def seconds(sample: DemoSampler, how: Settings) -> float:
        start = time.perf_counter()
        sample(prompt, 0, how)
        return time.perf_counter() - start

    seconds(student, settings[1])
    ratio = median(seconds(teacher, settings[0]) / seconds(student, settings[1]) for _ in range(scope.timings))
    return Claim([f"{many} steps of the guided teacher take {ratio:.1f} times as long as 4 steps without "
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
    apart, direct = methods = ablations.decoupling(scope.trained, scope.ablation_steps)
    claim = seed_by_seed("Fréchet distance", apart.name,
                         {direct.name: {scope.ablation_steps: scope.nearer(apart, direct)}})
    text = page.DECOUPLING.format(steps=scope.ablation_steps, rate=ablations.DIRECT_RATE, notes=bullets(claim))
    return Section("One stage after the other, or both at once", text, QUALITY, scope.rows(methods), claim.figures)


def initialisation(scope: Scope) -> Section:
    marks = tuple(scope.ablation_steps // part for part in (16, 8, 4, 2))
    methods = {name: dict(points) for name, points in ablations.initialisations(scope.trained, marks).items()}
    first, *others = methods

    near: dict[str, dict[int, list[float]]] = {name: {} for name in methods}
    curves: dict[str, list[tuple[int, Row]]] = {name: [] for name in methods}
    for name, mark, method in ((name, *point) for name, points in methods.items() for point in points.items()):
        # One right after the other, while the clips are remembered.
        figures, near[name][mark] = scope.rows([method])[0], scope.from_teacher(method)
        curves[name].append((mark, figures.also(from_teacher=estimate(near[name][mark]))))
    plot_training(curves, scope.docs / "paper-table-initialisation.png")
    gains = {name: {mark: estimate([other - own for other, own in zip(far, near[first][mark], strict=True)])
                    for mark, far in near[name].items()} for name in others}
    distances = {name: {mark: scope.nearer(methods[first][mark], methods[name][mark]) for mark in marks}
                 for name in others}
    claims = {"from_teacher": seed_by_seed("Distance from the teacher's clips", first, gains),
              "frechet": seed_by_seed("Fréchet distance", first, distances)}
    text = page.INITIALISATION.format(notes=bullets(*claims.values()))
    return Section("The special initialisation", text, (*QUALITY, "from_teacher"),
                   [found for points in curves.values() for _, found in points],
                   {name: claim.figures for name, claim in claims.items()})


def beyond_the_paper(scope: Scope) -> Section:
    """Phases and terms for motion, at every number of steps."""
    methods = [scope.distilled(recipe) for recipe in beyond.TABLE]
    first, *others = methods
    pairs = [(f"{method.name}, {steps} steps", first.name, scope.judged(method, first, steps))
             for steps in first.steps for method in others]
    how = settings("t2v", scope.ablation_steps, SEED).distillation
    plot(rows := scope.rows(methods), scope.docs / "paper-table-phases.png")
    text = page.BEYOND.format(steps=scope.ablation_steps, lora_steps=round(beyond.LORA_SHARE * scope.ablation_steps),
                              skip=how.skip, strong=how.strong_noise, pure=how.pure_noise, w=how.w_max,
                              notes=verdicts(pairs))
    return Section("Beyond the paper: phases and motion", text, BEYOND, rows)


def options(scope: Scope) -> Section:
    """Single changes of a recipe."""
    known = {recipe.name: recipe for recipe in beyond.TABLE}
    methods: dict[str, Method] = {}
    pairs = []
    for recipe, other in beyond.OPTIONS:
        changed, reference = (replace(scope.distilled(each), steps=(4,)) for each in (recipe, known[other]))
        methods |= {reference.name: reference, changed.name: changed}
        pairs.append((changed.name, reference.name, scope.judged(changed, reference, 4)))
    text = page.OPTIONS.format(steps=scope.ablation_steps, notes=verdicts(pairs))
    return Section("One change at a time", text, BEYOND, scope.rows(list(methods.values())))


def guidance(scope: Scope) -> Section:
    """What guidance does to models that were distilled with a guided teacher, and with one that is not."""
    known = {recipe.name: recipe for recipe in beyond.TABLE}
    rows = []
    for recipe in (beyond.PAPER, known["4 phases"], *beyond.UNGUIDED):
        method = replace(scope.distilled(recipe), steps=(4,))
        for cfg in beyond.CFGS:
            # Without guidance there is no negative prompt.
            obeyed = Estimate(math.nan, math.nan) if cfg == 1 else estimate(
                [scope.run.avoided(method, 4, cfg, seed, scope.prompts) for seed in range(scope.seeds)])
            rows.append(scope.row(method, 4, cfg).also(avoided=obeyed))
    return Section("Guidance and negative prompts", page.GUIDANCE.format(steps=scope.ablation_steps),
                   (*BEYOND, "avoided"), rows)


def several_bases(scope: Scope) -> Section:
    """A module that was trained on one base model, and one on three, on their own base and on one they never saw."""
    one, three = (replace(scope.distilled(recipe), steps=(4,)) for recipe in (beyond.PAPER, beyond.SEVERAL))
    pairs = [(three, one), (in_pastel(three), in_pastel(one))]
    notes = verdicts([(ours.name, other.name, scope.judged(ours, other, 4)) for ours, other in pairs])
    text = page.BASES.format(steps=scope.ablation_steps, notes=notes)
    return Section("Several bases", text, QUALITY, scope.rows([method for pair in pairs for method in pair]))


SECTIONS: dict[str, Callable[[Scope], Section]] = {
    "samplers": samplers, "class-words": partial(samplers, words="class words"), "personalised": personalised_base,
    "adapters": adapters, "decoupling": decoupling, "initialisation": initialisation,
    "beyond": beyond_the_paper, "options": options, "guidance": guidance, "bases": several_bases,
}

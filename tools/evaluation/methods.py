"""What is sampled, and how: the rows of the report's tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...demo.files import FEW_STEP_LAYOUT, I2V_MOTION, LAYOUT, MODELS, PASTEL
from ..demo.sampler import DISTILLED, FEW_STEP_SETTINGS, Parts, Settings

STEP_COUNTS = (1, 2, 4, 8)
TEACHER_STEPS = (Settings().steps, 50)
"""Those that it was distilled at, and those that the paper takes the time of."""
SEEDS = 5
"""Runs of every row, seeds 0 to 4. What ships was chosen on other prompts."""
GUIDANCE = tuple(sorted({1.0, 2.0, 4.0, Settings().cfg}))
"""What the best of is looked for."""
TEACHER, OURS, BASELINES = "teacher", "AnimateLCM", ("DDIM", "DPM++ 2M")
BEST = "{}, cfg by distance"
"""A baseline's name with the guidance that has the lowest distance on the prompts of the search."""
FOLLOWS = ("", "layout", "image")
"""What a method is shown beside the prompt: nothing, the outlines of the scene's subject, or its first frame."""


@dataclass(frozen=True)
class Method:
    """A way to make clips with the demo model."""

    name: str
    sampler: str
    """The host's name of the sampler."""
    scheduler: str
    """The host's name of the scheduler."""
    steps: tuple[int, ...] = STEP_COUNTS
    cfgs: tuple[float, ...] = (1.0,)
    """Guidance, the best of which is chosen for each number of steps; 1 is without."""
    parts: Parts = Parts()
    words: str = "specific"
    """Which prompts it is shown, one of `measure.WORDS`."""
    follows: str = ""
    """One of FOLLOWS."""
    pastel: bool = False
    """Whether the clips are in the palette of the style; they are measured with the palette undone."""
    trained_in: Path | None = None
    """Folder of those of its files that the report trains itself. Its name and theirs say all that decides them, so
    that what was measured of them outlives them."""
    train: Callable[[], object] | None = field(default=None, compare=False)
    """Trains these files, unless they are there."""

    @property
    def missing(self) -> list[str]:
        """Return the names of the files that are not there."""
        return [path.name for path in self.parts.files if not path.is_file()]


def teacher() -> Method:
    """Return the model that was distilled, with its guidance."""
    how = Settings()
    return Method(TEACHER, how.sampler, how.scheduler, TEACHER_STEPS, (how.cfg,))


def ours(parts: Parts = DISTILLED) -> Method:
    """Return AnimateLCM with the demo model's distilled files, or others."""
    return Method(OURS, FEW_STEP_SETTINGS.sampler, FEW_STEP_SETTINGS.scheduler, parts=parts)


def ours_of(motion: Path | None, lora: Path | None) -> Parts:
    """Return the demo model's distilled files, or those that a command names in their place.

    Raises:
        SystemExit: A file is not there.
    """
    parts = Parts(motion or DISTILLED.motion, (lora,) if lora else DISTILLED.loras)
    if missing := ours(parts).missing:
        raise SystemExit(f"there is no {' nor '.join(missing)}; python dev.py train-demo makes the demo model's")
    return parts


def compared(parts: Parts, words: str = "specific") -> dict[str, Method]:
    """Return the methods of the paper's first table by name.

    The other samplers are there twice: at the teacher's guidance, as in the paper, and at their best.
    """
    # "normal" would spend its last step on the faintest noise, where next to nothing is left to do.
    found = [Method(name, sampler, "sgm_uniform", cfgs=teacher().cfgs)
             for name, sampler in zip(BASELINES, ("ddim", "dpmpp_2m"), strict=True)]
    best = [replace(method, name=BEST.format(method.name), cfgs=GUIDANCE) for method in found]
    table = (teacher(), *found, *best, ours(parts))
    return {method.name: replace(method, words=words) for method in table}


def personalised(parts: Parts) -> list[Method]:
    """Return teacher and student on a base that was tuned to another palette, which neither has seen."""
    return [in_pastel(replace(method, steps=steps))
            for method, steps in ((teacher(), TEACHER_STEPS[:1]), (ours(parts), (4,)))]


def in_pastel(method: Method) -> Method:
    """Return a method on that base."""
    return replace(method, name=f"{method.name}, pastel base", pastel=True,
                   parts=replace(method.parts, loras=(*method.parts.loras, MODELS / PASTEL)))


def adapted(parts: Parts) -> list[Method]:
    """Return what was adapted without a teacher, each beside the few-step model without it."""
    few = replace(ours(parts), steps=(4,))
    encoder = replace(few.parts, motion=MODELS / I2V_MOTION)
    layouts = {"ControlNet as it was": LAYOUT, "ControlNet, adapted": FEW_STEP_LAYOUT}
    return [
        replace(few, name="the prompt alone"),
        replace(few, name="image to video", parts=encoder, follows="image"),
        *(replace(few, name=name, parts=replace(few.parts, control_net=MODELS / file), follows="layout")
          for name, file in layouts.items()),
    ]

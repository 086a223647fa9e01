"""What is sampled, and how: the rows of the report's tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...demo.files import FEW_STEP_LAYOUT, I2V_MOTION, LAYOUT, MODELS, PASTEL
from ..demo.sampler import DISTILLED, FEW_STEP_SETTINGS, Parts, Settings

STEP_COUNTS = (1, 2, 4, 8)
FOLLOWS = ("", "layout", "image")
"""What a method is shown beside the prompt: nothing, the silhouettes of the scene, or its first frame."""


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
    follows: str = ""
    """One of FOLLOWS."""
    pastel: bool = False
    """Whether the clips are in the palette of the style; they are measured with the palette undone."""

    @property
    def missing(self) -> list[str]:
        """Return the names of the files that are not there."""
        return [path.name for path in self.parts.files if not path.is_file()]


def teacher() -> Method:
    """Return the model that was distilled, with its guidance."""
    how = Settings()
    return Method("teacher", how.sampler, how.scheduler, (how.steps,), (how.cfg,))


def ours(parts: Parts = DISTILLED) -> Method:
    """Return AnimateLCM with the demo model's distilled files, or others."""
    return Method("AnimateLCM", FEW_STEP_SETTINGS.sampler, FEW_STEP_SETTINGS.scheduler, parts=parts)


def compared(parts: Parts) -> dict[str, Method]:
    """Return the methods of the paper's first table by name."""
    # "normal" would spend its last step on the faintest noise, where next to nothing is left to do.
    baseline = {"scheduler": "sgm_uniform", "cfgs": (1.0, 2.0, 4.0)}
    table = (teacher(), Method("DDIM", "ddim", **baseline), Method("DPM++ 2M", "dpmpp_2m", **baseline), ours(parts))
    return {method.name: method for method in table}


def personalised(parts: Parts) -> list[Method]:
    """Return teacher and student on a base that was tuned to another palette, which neither has seen."""
    return [replace(method, name=f"{method.name}, pastel base", pastel=True, steps=steps,
                    parts=replace(method.parts, loras=(*method.parts.loras, MODELS / PASTEL)))
            for method, steps in ((teacher(), (25,)), (ours(parts), (4,)))]


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

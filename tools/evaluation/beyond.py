"""Distil the demo model by what came after the paper, each way with as many steps, to see what it brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file

from ...training.config import DistillationConfig
from ...training.fingerprint import digest
from ...training.methods import MOTION, without_guidance
from ..demo import styles
from ..demo.distil import SCHEDULE, settings, write_motion_half
from ..demo.sampler import FEW_STEP_SETTINGS, Parts, with_lora
from .methods import STEP_COUNTS, Method
from .trainings import SEED, data, embedded, run_in, write_lora

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...host.training.runs import Request

CODE = ("tools/evaluation/trainings.py",)
"""What runs the trainings, beside the packages that know how. What a recipe says is in its files' names."""
LORA_SHARE = 0.75
"""Steps of the spatial LoRA over those of the motion module."""


@dataclass(frozen=True)
class Recipe:
    """A way to distil, in both stages."""

    name: str
    phases: int = 1
    guided: bool = True
    """Whether the teacher has guidance."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """What else is set in the motion stage, by the names of DistillationConfig."""
    several: bool = False
    """Whether the motion module is trained on several base models in turn: the demo's own, and `BASES` on it."""

    def images(self, how: DistillationConfig) -> DistillationConfig:
        """Return the settings of the spatial LoRA's stage."""
        if self.phases > 1:
            # PCM's target; the paper's is an average.
            how = replace(how, phases=self.phases, target="student")
        return how if self.guided else without_guidance(how)

    def clips(self, how: DistillationConfig) -> DistillationConfig:
        """Return the settings of the motion module's stage."""
        return replace(self.images(how), **self.changes)


PAPER = Recipe("1 phase")
"""The paper's loss, with the demo's settings."""
TABLE = [recipe for phases in (1, 2, 4, 8) for name in [f"{phases} phases" if phases > 1 else PAPER.name]
         for recipe in (Recipe(name, phases), Recipe(f"{name}, motion terms", phases, changes=MOTION))]
"""Phases, with and without terms for motion."""
OPTIONS = [
    (Recipe("the student as its own target", changes={"target": "student"}), PAPER.name),
    (Recipe("an averaged target in 4 phases", 4, changes={"target": "average"}), "4 phases"),
    (Recipe("a skip of 1", changes={"skip": 1}), PAPER.name),
    (Recipe("a skip of 25", changes={"skip": 25}), PAPER.name),
    (Recipe("a skip that shrinks from 32 to 4", changes={"skip_start": 32, "skip_every": 100}), PAPER.name),
    (Recipe("Huber constant 0.03", changes={"huber": 0.03}), PAPER.name),
    (Recipe("w of 1", changes={"w_min": 1.0, "w_max": 1.0}), PAPER.name),
    (Recipe("no share of strong noise", changes={"strong_noise": 0.0}), PAPER.name),
    (Recipe("no share of noise alone", changes={"pure_noise": 0.0}), PAPER.name),
    (Recipe("the motion difference alone", changes={"motion_weight": 1.0}), PAPER.name),
    (Recipe("own samples alone", changes={"own_samples": 0.5}), PAPER.name),
]
"""Single changes, and the name of the recipe that each is one of."""
UNGUIDED = [Recipe(f"{PAPER.name}, teacher without guidance", guided=False),
            Recipe("4 phases, teacher without guidance", 4, guided=False)]
SEVERAL = Recipe(f"{PAPER.name}, on three bases", several=True)
BASES = {"dusk": styles.in_dusk, "faded": styles.in_faded}
"""Palettes that a motion module may be trained on: none of them is that of the style which it is judged on."""
BASE_STEPS = 400
CFGS = (1.0, 2.0, 4.0, 7.0)
"""Guidance at which it is seen what burns."""


def method(recipe: Recipe, steps: int, folder: Path) -> Method:
    """Return how a recipe is sampled, in phases without fresh noise, and what trains its files.

    Args:
        steps: Of the motion module.
        folder: Where the files go.
    """
    sampler = FEW_STEP_SETTINGS.sampler if recipe.phases == 1 else "euler"
    images, clips = _requests(recipe, steps)
    # These names together say all that makes it.
    on = f"-on-{'-'.join(BASES)}-{BASE_STEPS}" if recipe.several else ""
    motion = folder / f"{clips.name}-with-{images.name}{on}.safetensors"
    parts = Parts(motion, (folder / f"{images.name}.safetensors",))
    return Method(recipe.name, sampler, FEW_STEP_SETTINGS.scheduler, STEP_COUNTS, parts=parts, trained_in=folder,
                  train=partial(train, recipe, steps, parts))


def train(recipe: Recipe, steps: int, parts: Parts) -> None:
    """Distil by a recipe, unless the files are there already."""
    from ...demo.model import load_demo_model
    from ...host.folders import EMBEDDED, motion_path
    from ...host.motion import load_motion
    from ...host.training.runs import distil_motion_module, distil_spatial_lora

    assert parts.motion is not None
    (images, clips), (lora,), folder = _requests(recipe, steps), parts.loras, parts.motion.parent
    folder.mkdir(parents=True, exist_ok=True)
    if not lora.is_file():
        tensors, _ = distil_spatial_lora(load_demo_model()[0], data(folder), images, run_in(folder, lora.stem))
        write_lora(tensors, lora)
    if not parts.motion.is_file():
        if recipe.several:
            clips = replace(clips, bases=tuple(bases(folder)))
        given = {key: tensor.float() for key, tensor in load_file(lora).items()}
        motion, _, _ = distil_motion_module(load_demo_model()[0], load_motion(motion_path(EMBEDDED)), given,
                                            data(folder), clips, run_in(folder, parts.motion.stem))
        write_motion_half(motion, parts.motion)


def bases(folder: Path) -> list[ModelPatcher]:
    """Return the demo model in other palettes, by LoRAs that are trained unless they lie in the folder already."""
    from ...demo.model import load_demo_model

    found = []
    for name, drawn in BASES.items():
        path = folder / f"{name}-{BASE_STEPS}.safetensors"
        if not path.is_file():
            write_lora(styles.style_lora(name, drawn, embedded(folder), BASE_STEPS), path)
        found.append(with_lora(load_demo_model()[0], path))
    return found


def _requests(recipe: Recipe, steps: int) -> tuple[Request, Request]:
    """Return what is asked of the two stages."""
    return _request("lora", recipe.images, round(LORA_SHARE * steps)), _request("t2v", recipe.clips, steps)


def _request(stage: str, how: Callable[[DistillationConfig], DistillationConfig], steps: int) -> Request:
    """Return a request whose name says its settings."""
    from ...host.training.runs import Request

    config = settings(stage, steps, SEED)
    config = replace(config, distillation=how(config.distillation))
    return Request(config, SCHEDULE, f"{stage}-{digest(config)[:12]}")

"""Train the demo model's student in other ways than the paper's, to see what each part of the method is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file

from ...demo.files import LORA, MODELS
from ...training.config import INITS
from ..demo.distil import SCHEDULE, settings, write_motion_half
from ..demo.sampler import Parts
from .methods import Method, ours
from .trainings import SEED, data, run_in, write_lora

if TYPE_CHECKING:
    from ...host.training.runs import Request

CODE = ("tools/evaluation/ablations.py", "tools/evaluation/trainings.py")
"""Where it is said how the ablations are trained, beside the packages that do it."""
DIRECT_RATE = 1e-3
"""Learning rate where LoRA and motion module are trained at once: between those of the two stages, 2e-3 and 5e-4."""
WARMUP = 10
"""Steps, fewer than those to the first mark."""


@dataclass(frozen=True)
class Variant:
    """A way to train the motion module."""

    name: str
    init: str = "student"
    decoupled: bool = True
    rate: float | None = None
    """Learning rate; None takes the stage's."""

    def parts(self, mark: int, folder: Path, lora: Path | None) -> Parts:
        """Return the files of it after a number of steps; without a spatial LoRA, its own is trained along."""
        path = folder / f"{self.name}-{mark}.safetensors"
        return Parts(path, (lora or path.with_stem(f"{path.stem}-lora"),))


def recipes() -> str:
    """Return what the demo's own training says of the two stages."""
    return repr([settings(stage, WARMUP + 1, SEED) for stage in ("lora", "t2v")])


def decoupling(folder: Path, steps: int) -> list[Method]:
    """Return two methods: half of the steps for each stage, and all of them for both at once.

    Every step draws sixteen frames, as sixteen images or as a clip. Those of a clip cost more: if anything, both at
    once has more compute.
    """
    half = steps // 2
    apart, direct = Variant("decoupled"), Variant("direct", decoupled=False, rate=DIRECT_RATE)
    lora = folder / f"decoupled-{half}-lora.safetensors"

    def train_apart() -> None:
        train_lora(half, lora)
        train(apart, half, half, folder, lora)

    return [_method("one after the other", folder, apart.parts(half, folder, lora), train_apart),
            _method("both at once", folder, direct.parts(steps, folder, None),
                    partial(train, direct, steps, steps, folder, None))]


def initialisations(folder: Path, marks: tuple[int, ...]) -> dict[str, list[tuple[int, Method]]]:
    """Return the methods with each initialisation of the motion module at every mark, a number of steps.

    The spatial LoRA is the demo model's. Where it is not there in training, it is put in for sampling.
    """
    def method(init: str, mark: int) -> Method:
        variant, lora = Variant(f"init-{init}", init), MODELS / LORA
        return _method(f"init {init}, after {mark} steps", folder, variant.parts(mark, folder, lora),
                       partial(train, variant, mark, marks[-1], folder, lora))

    return {f"init {init}": [(mark, method(init, mark)) for mark in marks] for init in INITS}


def train(variant: Variant, mark: int, last: int, folder: Path, lora: Path | None) -> None:
    """Train to a mark, from where the run to the last mark is, unless the files are there already.

    Args:
        lora: The spatial LoRA; None trains one along.
    """
    from ...demo.model import load_demo_model
    from ...host.folders import EMBEDDED, motion_path
    from ...host.motion import load_motion
    from ...host.training.runs import distil_motion_module

    parts = variant.parts(mark, folder, lora)
    assert parts.motion is not None
    if parts.motion.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    # Its own checkpoint: that of a run to a later mark may be past this one.
    name = f"{variant.name}-to-{last}"
    request = _request("t2v", name, mark, variant.rate).distilling(variant.init, variant.decoupled)
    given = None if lora is None else {key: tensor.float() for key, tensor in load_file(lora).items()}
    motion, trained, _ = distil_motion_module(load_demo_model()[0], load_motion(motion_path(EMBEDDED)), given,
                                              data(folder), request, run_in(folder, name))
    if lora is None and trained is not None:
        write_lora(trained, parts.loras[0])
    write_motion_half(motion, parts.motion)


def train_lora(steps: int, path: Path) -> None:
    """Distil the spatial LoRA alone, unless it is there already."""
    from ...demo.model import load_demo_model
    from ...host.training.runs import distil_spatial_lora

    if path.is_file():
        return
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    request = _request("lora", path.stem, steps)
    lora, _ = distil_spatial_lora(load_demo_model()[0], data(folder), request, run_in(folder, path.stem))
    write_lora(lora, path)


def _method(name: str, folder: Path, parts: Parts, train: Callable[[], object]) -> Method:
    return replace(ours(parts), name=name, steps=(4,), trained_in=folder, train=train)


def _request(stage: str, name: str, steps: int, rate: float | None = None) -> Request:
    """Return a request whose rate stays as it is, so that a run can go on from any mark."""
    from ...host.training.runs import Request

    config = settings(stage, steps, SEED)
    loop = replace(config.loop, rate="constant", warmup=WARMUP, save_every=25,
                   learning_rate=rate or config.loop.learning_rate)
    return Request(replace(config, loop=loop), SCHEDULE, name)

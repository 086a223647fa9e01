"""Train the demo model's student in other ways than the paper's, to see what each part of the method is worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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


def recipes() -> str:
    """Return what the demo's own training says of the two stages."""
    return repr([settings(stage, WARMUP + 1, SEED) for stage in ("lora", "t2v")])


def decoupling(folder: Path, steps: int) -> list[Method]:
    """Train with half of the steps for each stage, and with all of them for both at once; return the two methods.

    Every step draws sixteen frames, as sixteen images or as a clip. Those of a clip cost more: if anything, both at
    once has more compute.
    """
    lora = _spatial_lora(folder, steps // 2)
    [(_, apart)] = motion_modules(Variant("decoupled"), (steps // 2,), folder, lora)
    [(_, direct)] = motion_modules(Variant("direct", decoupled=False, rate=DIRECT_RATE), (steps,), folder, None)
    return [_method("one after the other", apart), _method("both at once", direct)]


def initialisations(folder: Path, marks: tuple[int, ...]) -> dict[str, list[tuple[int, Method]]]:
    """Train the motion module with each initialisation; return the methods at every mark, a number of steps.

    The spatial LoRA is the demo model's. Where it is not there in training, it is put in for sampling.
    """
    return {f"init {init}": [(mark, _method(f"init {init}, after {mark} steps", parts)) for mark, parts in
                             motion_modules(Variant(f"init-{init}", init), marks, folder, MODELS / LORA)]
            for init in INITS}


def motion_modules(variant: Variant, marks: tuple[int, ...], folder: Path, lora: Path | None
                   ) -> Iterator[tuple[int, Parts]]:
    """Train on from mark to mark, and give what is there at each; what lies in the folder already is not trained again.

    Args:
        marks: Numbers of steps, rising.
        lora: The spatial LoRA; None trains one along.
    """
    from ...demo.model import load_demo_model
    from ...host.folders import EMBEDDED, motion_path
    from ...host.motion import load_motion
    from ...host.training.runs import distil_motion_module

    for mark in marks:
        path = folder / f"{variant.name}-{mark}.safetensors"
        own = lora or path.with_stem(f"{path.stem}-lora")
        if not path.is_file():
            # Its own checkpoint: that of a run to a later mark may be past this one.
            name = f"{variant.name}-to-{marks[-1]}"
            request = _request("t2v", name, mark, variant.rate).distilling(variant.init, variant.decoupled)
            given = None if lora is None else {key: tensor.float() for key, tensor in load_file(lora).items()}
            teacher = load_motion(motion_path(EMBEDDED))
            motion, trained, _ = distil_motion_module(
                load_demo_model()[0], teacher, given, data(folder), request, run_in(folder, name))
            if lora is None and trained is not None:
                write_lora(trained, own)
            write_motion_half(motion, path)
        yield mark, Parts(path, (own,))


def _spatial_lora(folder: Path, steps: int) -> Path:
    from ...demo.model import load_demo_model
    from ...host.training.runs import distil_spatial_lora

    path = folder / f"decoupled-{steps}-lora.safetensors"
    if not path.is_file():
        request = _request("lora", path.stem, steps)
        lora, _ = distil_spatial_lora(load_demo_model()[0], data(folder), request, run_in(folder, path.stem))
        write_lora(lora, path)
    return path


def _method(name: str, parts: Parts) -> Method:
    return replace(ours(parts), name=name, steps=(4,))


def _request(stage: str, name: str, steps: int, rate: float | None = None) -> Request:
    """Return a request whose rate stays as it is, so that a run can go on from any mark."""
    from ...host.training.runs import Request

    config = settings(stage, steps, SEED)
    loop = replace(config.loop, rate="constant", warmup=WARMUP, save_every=25,
                   learning_rate=rate or config.loop.learning_rate)
    return Request(replace(config, loop=loop), SCHEDULE, name)

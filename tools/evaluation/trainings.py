"""What trainings need whose results are rows of a table: the embedded model, data, the loop, and a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file
from torch import Tensor

from ...demo.files import MODELS, WEIGHTS
from ...storage.atomic import replacing
from ...training.config import TrainingConfig
from ...training.trainer import Stage
from ..demo.denoising import run_loop
from ..demo.distil import WorldData, world_data
from ..demo.stages import Workspace

if TYPE_CHECKING:
    from ...host.training.runs import RunStage

SEED = 0
IMAGES, CLIPS = 6_400, 640
"""Entries of the caches that they learn from, more than 400 steps draw."""


class Embedded(Workspace):
    """What trainings work on that begin with the embedded model: only caches and checkpoints go into its folder."""

    @property
    def weights(self) -> Path:
        return WEIGHTS

    @property
    def models(self) -> Path:
        return MODELS


def embedded(folder: Path) -> Embedded:
    """Return the embedded model, with a folder for caches and checkpoints."""
    return Embedded(folder, SEED, IMAGES, CLIPS)


def data(folder: Path) -> WorldData:
    """Return what they learn from."""
    return world_data(embedded(folder))


def run_in(folder: Path, name: str) -> RunStage:
    """Return what runs the loop, with its checkpoint in the folder."""
    from ...host.training.runs import checked

    def run(stage: Stage, config: TrainingConfig) -> list[float]:
        return run_loop(name, stage, config.loop, folder)

    return checked(run, report=lambda line: None)


def write_lora(lora: dict[str, Tensor], path: Path) -> None:
    """Write the tensors of a LoRA."""
    with replacing(path) as unfinished:
        save_file(lora, unfinished)

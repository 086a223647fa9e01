"""Training runs as a node runs them: settings from its sockets, a progress bar, previews, the host's interrupt."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
from comfy.model_patcher import ModelPatcher

from ...training.checkpoints import history
from ...training.config import PRESETS, TrainingConfig
from ...training.loop import nothing_left, train
from ...training.methods import with_method
from ...training.stages import Setting
from ...training.trainer import Report, Stage
from .previews import preview
from .runs import check_memory

FOLDER = "training"
"""Checkpoints are in this folder of the host's output folder."""
SMOOTHED = 50
"""Steps over which the shown loss is averaged."""


def configure(stage: str, preset: str, steps: int, learning_rate: float, seed: int, num_frames: int,
              method: str = "paper") -> TrainingConfig:
    """Return a preset's settings for a stage, with what the user changed: steps or learning_rate 0 keep the preset's.

    Single frames are as many in a batch as those of the image stage. Where the device lacks bfloat16, a GPU takes
    float16 with a scaled loss and everything else float32.
    """
    config = PRESETS[preset][stage]
    steps = steps or config.loop.steps
    precision, device = config.loop.precision, comfy.model_management.get_torch_device()
    if precision == "bfloat16" and not comfy.model_management.should_use_bf16(device):
        precision = "float16" if device.type == "cuda" else "float32"
    loop = replace(config.loop, steps=steps, learning_rate=learning_rate or config.loop.learning_rate,
                   warmup=min(config.loop.warmup, steps // 2), precision=precision)
    batch = PRESETS[preset]["image"].batch if num_frames == 1 else config.batch
    return with_method(replace(config, loop=loop, seed=seed, num_frames=num_frames, batch=batch), method)


def checkpoint_path(name: str) -> Path:
    """Return where the checkpoint of this name is, within the host's output folder.

    Raises:
        ValueError: The name leads elsewhere.
    """
    folder = Path(folder_paths.get_output_directory()) / FOLDER
    path = folder / f"{name}.pt"
    if not name.strip() or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the name {name!r} leads out of {folder}; give a plain name, such as my_training")
    return path


@dataclass(frozen=True)
class NodeRun:
    """Runs the loop of a stage within the graph."""

    model: ModelPatcher
    """Whose previews are shown."""
    name: str
    """Of the checkpoint."""
    preview_every: int
    """Steps between preview samples; 0 makes none."""
    report: Callable[[str], None]
    """Shows a line of text."""

    def __call__(self, stage: Stage, setting: Setting) -> list[float]:
        """Run the loop to its end, and return all losses; an interrupt leaves a checkpoint of the last whole step.

        Raises:
            MemoryError: It does not fit into what is free.
        """
        check_memory(stage, setting, self.report)
        config, path = setting.config.loop, checkpoint_path(self.name)
        bar, losses, begun = comfy.utils.ProgressBar(config.steps), history(path), time.monotonic()
        before = len(losses)
        with closing(train(stage, config, path)) as reports:
            for report in reports:
                losses.append(report.loss)
                shown = None
                if self.preview_every and report.step % self.preview_every == 0:
                    shown = "JPEG", preview(stage, setting, self.model), None
                bar.update_absolute(report.step, config.steps, shown)
                pace = (time.monotonic() - begun) / (len(losses) - before)
                self.report(_line(report, losses[-SMOOTHED:], config.steps, pace))
                comfy.model_management.throw_exception_if_processing_interrupted()
        if len(losses) == before:
            self.report(nothing_left(config))
        return losses


def _line(report: Report, recent: list[float], steps: int, pace: float) -> str:
    minutes = round(pace * (steps - report.step) / 60)
    left = f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
    return (f"step {report.step} of {steps}, loss {sum(recent) / len(recent):.4g}, rate {report.learning_rate:.2g}, "
            f"{pace:.2g} s a step, {left} left")

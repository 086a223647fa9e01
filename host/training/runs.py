"""Training runs inside the host: datasets, progress, previews, interrupts, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ...motion.image_encoder import ImageEncoder
from ...motion.module import MotionModule
from ...samplers.schedules import SCHEDULES
from ...training.checkpoints import history
from ...training.config import PRESETS, TrainingConfig
from ...training.draws import Examples
from ...training.fingerprint import of_tensors, settings
from ...training.latents import LatentSource
from ...training.loop import nothing_left, train
from ...training.lora import export, fill, inject, read
from ...training.memory import estimate
from ...training.seeds import seeded
from ...training.stages import UP, Setting, adaptation_stage, image_stage, motion_stage
from ...training.trainer import DTYPES, Report, Stage
from ..motion import LoadedMotion
from ..patchers import held, layers_in, positions_of
from .dataset import Data
from .network import diffusion, layer_names, trainable
from .origins import with_parts
from .previews import preview

FOLDER = "training"
"""Checkpoints are in this folder of the host's output folder."""
SMOOTHED = 50
"""Steps over which the shown loss is averaged."""


@dataclass(frozen=True)
class Request:
    """What the user asks a training node for."""

    config: TrainingConfig
    schedule: str
    """A key of SCHEDULES whose entry has a distillation grid."""
    name: str
    """Of the checkpoint, from which the run goes on if there is one."""
    preview_every: int
    """Steps between preview samples; 0 makes none."""
    tell: Callable[[str], None]
    """Shows a line of text."""
    walk: Callable[[Stage, TrainingConfig], list[float]] | None = None
    """Runs a stage outside of the graph, and returns its losses; None runs it as a node does."""

    def distilling(self, init: str, decoupled: bool) -> Request:
        """Return the request with another way of the motion stage."""
        distillation = replace(self.config.distillation, init=init, decoupled=decoupled)
        return replace(self, config=replace(self.config, distillation=distillation))


def configure(stage: str, preset: str, steps: int, learning_rate: float, seed: int, num_frames: int) -> TrainingConfig:
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
    return replace(config, loop=loop, seed=seed, num_frames=num_frames, batch=batch)


@contextmanager
def training() -> Generator[None, None, None]:
    """Let gradients be computed, which the host's nodes do not.

    The host's own training also raises a flag, for layers with in-place shortcuts; the UNet trained here has none.
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield


def distil_spatial_lora(model: ModelPatcher, data: Data, request: Request) -> tuple[dict[str, Tensor], list[float]]:
    """Distil a MODEL into a LoRA with which it needs few steps (Wang et al. 2024, first stage).

    Returns:
        The tensors of the LoRA's file, and the loss of every step.
    """
    with training():
        names, setting = layer_names(model), prepare(model, None, data, request)
        inject(setting.model, names, request.config.lora, request.config.seed)
        stage = image_stage(setting)
        losses = run_stage(stage, setting, request, model)
        return export(stage.average, names, request.config.lora), losses


def distil_motion_module(model: ModelPatcher, motion: LoadedMotion, lora: dict[str, Tensor] | None, data: Data,
                         request: Request) -> tuple[LoadedMotion, dict[str, Tensor] | None, list[float]]:
    """Distil a motion module on clips (Wang et al. 2024, second stage).

    Args:
        lora: The spatial LoRA's tensors; not decoupled, a new one is trained where there is none.

    Returns:
        The motion module, the LoRA that it goes with, and the loss of every step.

    Raises:
        ValueError: There is to be a spatial LoRA at the start, and none is given.
    """
    how = request.config.distillation
    if how.decoupled and how.init == "none":
        lora = None
    elif lora is None and how.decoupled:
        raise ValueError(f"init '{how.init}' starts from a spatial LoRA, and none is connected. Connect the LoRA of "
                         "Distill Spatial LoRA, or choose init 'none'")
    with training():
        names, setting, shape = layer_names(model), prepare(model, motion, data, request), request.config.lora
        if lora is not None:
            setting = replace(setting, origin=setting.origin.and_contents(LoRA=of_tensors(lora)))
            weights, shape = read(lora, names)
            inject(setting.model, {layer: names[layer] for layer in _layers(weights)}, shape)
            fill(setting.model, weights)
        elif not how.decoupled:
            inject(setting.model, names, shape, request.config.seed)
        stage = motion_stage(setting)
        losses = run_stage(stage, setting, request, model)
        if not how.decoupled:
            lora = export(_within(stage.average, "unet."), names, shape)
        return _finished(motion, stage, request), lora, losses


def train_image_encoder(model: ModelPatcher, motion: LoadedMotion, with_motion: bool, data: Data, request: Request
                        ) -> tuple[LoadedMotion, list[float]]:
    """Train an image encoder for a few-step motion module, without a teacher (Wang et al. 2024, third part).

    Each clip's first frame is its reference. An encoder that the module already has is trained further.

    Args:
        with_motion: Whether the motion module is trained together with the encoder.

    Returns:
        The motion module with its encoder, and the loss of every step.
    """
    with training():
        setting = prepare(model, motion, data, request)
        setting = replace(setting, source=_with_reference(setting.source))
        if setting.model.encoder is None:
            setting.model.encoder = _new_encoder(motion, request.config.seed, setting.empty.device)
        setting = replace(setting, origin=setting.origin.and_settings({"with_motion": with_motion}))
        stage = adaptation_stage(setting, ("encoder.", "motion.") if with_motion else ("encoder.",))
        losses = run_stage(stage, setting, request, model)
        return _finished(motion, stage, request), losses


def _with_reference(source: Callable[[int], Examples]) -> Callable[[int], Examples]:
    def first_frames(number: int) -> Examples:
        examples = source(number)
        return replace(examples, conditions={"reference": examples.latents[:, 0]})
    return first_frames


def _new_encoder(motion: LoadedMotion, seed: int, device: torch.device) -> ImageEncoder:
    with seeded(seed):
        encoder = ImageEncoder(motion.config.channels)
    # Nothing of the image enters at first (Wang et al. 2024).
    nn.init.zeros_(encoder.conv_in.weight)
    nn.init.zeros_(encoder.conv_in.bias)
    return encoder.to(device)


def _layers(weights: dict[str, Tensor]) -> list[str]:
    return [key.removesuffix(UP) for key in weights if key.endswith(UP)]


def _within(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key: weight for key, weight in weights.items() if key.startswith(prefix)}


def prepare(model: ModelPatcher, motion: LoadedMotion | None, data: Data, request: Request) -> Setting:
    """Return what every stage needs: a network of our own, the data, and the schedule with its grid."""
    device, schedule = comfy.model_management.get_torch_device(), SCHEDULES[request.schedule]
    config = replace(request.config, distillation=replace(
        request.config.distillation, original_steps=schedule.original_steps))
    if motion is not None and config.num_frames > motion.config.max_frames:
        raise ValueError(f"num_frames is {config.num_frames}, and {motion.name} knows at most "
                         f"{motion.config.max_frames} frames. Train on fewer, or take another motion module")
    source = data.source(model, config, device)
    # What the host holds on the device gives way to the training.
    comfy.model_management.unload_all_models()
    own = trainable(model, motion, DTYPES[config.loop.precision], device, config.gradient_checkpointing)
    largest = source.largest() if isinstance(source, LatentSource) else 0
    made_from = data.origin().and_settings({"schedule": request.schedule, **settings(config)})
    return Setting(own, source, data.empty().to(device), diffusion(model, schedule, device), config, largest,
                   with_parts(made_from, model, motion))


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


def run_stage(stage: Stage, setting: Setting, request: Request, model: ModelPatcher) -> list[float]:
    """Run the loop to its end, and return all losses; an interrupt leaves a checkpoint of the last whole step.

    Raises:
        MemoryError: It does not fit into what is free.
    """
    config = setting.config.loop
    needed = estimate(stage, setting.model, setting.source(setting.largest), config)
    request.tell(str(needed))
    needed.check(comfy.model_management.get_free_memory(setting.empty.device))
    if request.walk is not None:
        return request.walk(stage, setting.config)
    path = checkpoint_path(request.name)
    bar, losses, begun = comfy.utils.ProgressBar(config.steps), history(path), time.monotonic()
    before = len(losses)
    with closing(train(stage, config, path)) as reports:
        for report in reports:
            losses.append(report.loss)
            shown = None
            if request.preview_every and report.step % request.preview_every == 0:
                shown = "JPEG", preview(stage, setting, model), None
            bar.update_absolute(report.step, config.steps, shown)
            pace = (time.monotonic() - begun) / (len(losses) - before)
            request.tell(_line(report, losses[-SMOOTHED:], config.steps, pace))
            comfy.model_management.throw_exception_if_processing_interrupted()
    if len(losses) == before:
        request.tell(nothing_left(config))
    return losses


def _line(report: Report, recent: list[float], steps: int, pace: float) -> str:
    minutes = round(pace * (steps - report.step) / 60)
    left = f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
    return (f"step {report.step} of {steps}, loss {sum(recent) / len(recent):.4g}, rate {report.learning_rate:.2g}, "
            f"{pace:.2g} s a step, {left} left")


def _finished(motion: LoadedMotion, stage: Stage, request: Request) -> LoadedMotion:
    """Return the averaged weights as Load Motion Module would, in the precision that `motion` has."""
    at = layers_in(next(motion.patcher.model.parameters()).dtype)
    patcher, encoder = motion.patcher, motion.encoder

    def trained(prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): weight.to(at["device"], at["dtype"], copy=True)
                for key, weight in _within(stage.average, prefix).items()}

    if weights := trained("motion."):
        patcher = held(partial(MotionModule, motion.config, **at), weights)
        patcher.model.set_positions(positions_of(motion.patcher.model) or {})
    if weights := trained("encoder."):
        encoder = held(partial(ImageEncoder, motion.config.channels, **at), weights)
    return LoadedMotion(request.name, request.schedule, request.schedule, motion.config, patcher, encoder)

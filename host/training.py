"""Training runs inside the host: datasets, progress, previews, interrupts, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from latent_preview import Latent2RGBPreviewer
from PIL import Image
from torch import Tensor

from ..motion.module import MotionModule
from ..samplers.schedules import SCHEDULES
from ..training.config import TrainingConfig
from ..training.latents import LatentSource, join
from ..training.loop import DTYPES, Report, Stage, train
from ..training.lora import export, inject, read
from ..training.sampling import sample
from ..training.stages import UP, Setting, image_stage, motion_stage, network
from .motion import LoadedMotion, motion_patcher
from .operations import operations
from .trainable import diffusion, layer_names, positions_of, trainable

FOLDER = "training"
"""Checkpoints are in this folder of the host's output folder."""
PREVIEW_FRAMES = 4
"""Frames of a clip that a preview shows, side by side."""


@dataclass(frozen=True)
class Data:
    """What the host's dataset nodes give."""

    latents: list[dict]
    """LATENTs: a clip, or images, each."""
    positive: list
    """CONDITIONINGs: the encoded caption of each."""
    negative: list
    """CONDITIONING of the empty caption."""


@dataclass(frozen=True)
class Watching:
    """What the user sees of a run."""

    tell: Callable[[str], None]
    """Shows a line of text."""
    preview_every: int
    """Steps between preview samples; 0 makes none."""


@contextmanager
def training() -> Generator[None, None, None]:
    """Let gradients be computed, which the host's nodes do not; afterwards everything is as it was."""
    before = comfy.model_management.in_training
    with torch.inference_mode(False), torch.enable_grad():
        try:
            comfy.model_management.in_training = True
            yield
        finally:
            comfy.model_management.in_training = before


def distil_spatial_lora(model: ModelPatcher, data: Data, config: TrainingConfig, schedule: str, name: str,
                        watching: Watching) -> tuple[dict[str, Tensor], list[float]]:
    """Distil a MODEL into a LoRA with which it needs few steps (Wang et al. 2024, first stage).

    Returns:
        The tensors of the LoRA's file, and the loss of every step of this run.
    """
    with training():
        names = layer_names(model)
        setting = _setting(model, None, data, config, schedule)
        inject(setting.model, names, config.lora, config.seed)
        stage = image_stage(setting)
        losses = _run(stage, setting, name, watching, model)
        return export(stage.average, names, config.lora), losses


def distil_motion_module(model: ModelPatcher, motion: LoadedMotion, lora: dict[str, Tensor] | None, data: Data,
                         config: TrainingConfig, schedule: str, name: str, watching: Watching
                         ) -> tuple[LoadedMotion, dict[str, Tensor] | None, list[float]]:
    """Distil a motion module on clips (Wang et al. 2024, second stage).

    Args:
        lora: The spatial LoRA's tensors; not decoupled, a new one is trained where there is none.

    Returns:
        The motion module, the LoRA that it goes with, and the loss of every step of this run.
    """
    how = config.distillation
    if lora is None and how.decoupled and how.init != "none":
        raise ValueError(f"init '{how.init}' starts from a spatial LoRA, and none is connected. Connect the LoRA of "
                         "Distill Spatial LoRA, or choose init 'none'")
    with training():
        names = layer_names(model)
        setting = _setting(model, motion, data, config, schedule)
        shape = config.lora
        if how.decoupled and how.init == "none":
            lora = None
        elif lora is not None:
            weights, shape = read(lora, names)
            inject(setting.model, {layer: names[layer] for layer in _layers(weights)}, shape)
            setting.model.load_state_dict(weights, strict=False)
        else:
            inject(setting.model, names, shape, config.seed)
        stage = motion_stage(setting)
        losses = _run(stage, setting, name, watching, model)
        if not how.decoupled:
            lora = export(_within(stage.average, "unet."), names, shape)
        return _finished(motion, stage, schedule, name), lora, losses


def _layers(weights: dict[str, Tensor]) -> list[str]:
    return [key.removesuffix(UP) for key in weights if key.endswith(UP)]


def _within(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key: weight for key, weight in weights.items() if key.startswith(prefix)}


def _setting(model: ModelPatcher, motion: LoadedMotion | None, data: Data, config: TrainingConfig, schedule: str
             ) -> Setting:
    device = comfy.model_management.get_torch_device()
    original_steps = SCHEDULES[schedule].original_steps
    config = replace(config, distillation=replace(config.distillation, original_steps=original_steps))
    latent_format = model.get_model_object("latent_format")
    source = LatentSource([latent_format.process_in(item["samples"].clone()) for item in data.latents],
                          [_context(item) for item in data.positive], config, device)
    # The host gives its memory to what is loaded next.
    comfy.model_management.unload_all_models()
    own = trainable(model, motion, DTYPES[config.loop.precision], device, config.gradient_checkpointing)
    return Setting(own, source, join([_context(data.negative)]).to(device),
                   diffusion(model, SCHEDULES[schedule], device), config)


def _context(conditioning: list) -> Tensor:
    """Return the encoded caption, n d, of a CONDITIONING."""
    return conditioning[0][0][0].clone()


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


def _run(stage: Stage, setting: Setting, name: str, watching: Watching, model: ModelPatcher) -> list[float]:
    """Run the loop to its end; an interrupt between two steps leaves a checkpoint of the last one."""
    config = setting.config.loop
    bar, losses, begun = comfy.utils.ProgressBar(config.steps), [], time.monotonic()
    with closing(train(stage, config, checkpoint_path(name))) as reports:
        for report in reports:
            losses.append(report.loss)
            shown = None
            if watching.preview_every and report.step % watching.preview_every == 0:
                shown = "JPEG", _preview(stage, setting, model), None
            bar.update_absolute(report.step, config.steps, shown)
            watching.tell(_line(report, losses, config.steps, time.monotonic() - begun))
            comfy.model_management.throw_exception_if_processing_interrupted()
    return losses


def _line(report: Report, losses: list[float], steps: int, seconds: float) -> str:
    recent = losses[-50:]
    left = seconds / len(losses) * (steps - report.step)
    return (f"step {report.step} of {steps}, loss {sum(recent) / len(recent):.4g}, rate {report.learning_rate:.2g}, "
            f"{report.seconds:.2g} s a step, {_duration(left)} left")


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def _preview(stage: Stage, setting: Setting, model: ModelPatcher) -> Image.Image:
    """Sample the first batch's captions with the averaged weights, in four steps; frames and images side by side."""
    examples = setting.source(0)
    averaged = network(setting.model, stage.average, examples.conditions)
    latents = sample(averaged, setting.diffusion, examples.latents[:1].shape, examples.context[:1],
                     setting.config.distillation.original_steps, seed=setting.config.seed)
    frames = latents[0] if latents.ndim == 5 else latents
    frames = frames[torch.linspace(0, len(frames) - 1, min(PREVIEW_FRAMES, len(frames))).round().long()]
    latent_format = model.get_model_object("latent_format")
    previewer = Latent2RGBPreviewer(latent_format.latent_rgb_factors, latent_format.latent_rgb_factors_bias)
    pictures = [previewer.decode_latent_to_preview(frame.unsqueeze(0)) for frame in frames]
    strip = Image.new("RGB", (sum(picture.width for picture in pictures), pictures[0].height))
    for index, picture in enumerate(pictures):
        strip.paste(picture, (index * picture.width, 0))
    return strip.resize((strip.width * 8, strip.height * 8))


def _finished(motion: LoadedMotion, stage: Stage, schedule: str, name: str) -> LoadedMotion:
    """Return the averaged motion weights as Load Motion Module would, in the precision that `motion` has."""
    weights = {key.removeprefix("motion."): weight for key, weight in _within(stage.average, "motion.").items()}
    dtype = next(motion.patcher.model.parameters()).dtype
    trained = MotionModule(motion.config, ops=operations, dtype=dtype,
                           device=comfy.model_management.unet_offload_device())
    trained.load_state_dict(weights)
    trained.set_positions(positions_of(motion.patcher.model) or {})
    return LoadedMotion(name, schedule, schedule, motion.config, motion_patcher(trained.eval()))

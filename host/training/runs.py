"""The paper's trainings on a MODEL of the host: what is trained, on what, and what comes out.

What runs the loop is given: a node shows its progress (node_run), the command line writes a log.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ...motion.image_encoder import ImageEncoder
from ...motion.module import MotionModule
from ...motion.trained import Trained
from ...samplers.schedules import SCHEDULES
from ...training.config import DistillationConfig, TrainingConfig
from ...training.draws import Examples
from ...training.fingerprint import of_tensors, settings
from ...training.latents import LatentSource
from ...training.lora import export, fill, inject, read, replace_layers
from ...training.memory import estimate
from ...training.methods import described
from ...training.seeds import seeded
from ...training.stages import UP, Setting, adaptation_stage, image_stage, motion_stage
from ...training.trainer import DTYPES, Stage
from ..motion import LoadedMotion
from ..patchers import held, layers_in, positions_of
from .bases import in_turn, with_bases
from .checks import check_lora, check_parts
from .data import Data
from .network import diffusion, layer_names, trainable
from .origins import with_parts
from .requests import Request, adapted_to, tuned_to_rolling

RunStage = Callable[[Stage, Setting], list[float]]
"""Runs the loop of a stage to its end and returns the loss of every step: as a node does, or outside of the graph."""


@contextmanager
def training() -> Generator[None, None, None]:
    """Let gradients be computed, which the host's nodes do not.

    The host's own training also raises a flag, for layers with in-place shortcuts; the UNet trained here has none.
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield


def distil_spatial_lora(model: ModelPatcher, data: Data, request: Request, run: RunStage
                        ) -> tuple[dict[str, Tensor], list[float]]:
    """Distil a MODEL into a LoRA with which it needs few steps (Wang et al. 2024, first stage).

    Args:
        run: Runs the stage's loop.

    Returns:
        The tensors of the LoRA's file, and the loss of every step.
    """
    with training():
        names, setting = layer_names(model), make_setting(model, None, data, request)
        inject(setting.model, names, request.config.lora, request.config.seed)
        stage = image_stage(setting)
        losses = run(stage, setting)
        return export(stage.average, names, request.config.lora), losses


def distil_motion_module(model: ModelPatcher, motion: LoadedMotion, lora: dict[str, Tensor] | None, data: Data,
                         request: Request, run: RunStage) -> tuple[LoadedMotion, dict[str, Tensor] | None, list[float]]:
    """Distil a motion module on clips (Wang et al. 2024, second stage).

    Args:
        lora: The spatial LoRA's tensors; not decoupled, a new one is trained where there is none.
        run: Runs the stage's loop.

    Returns:
        The motion module, the LoRA that it goes with, and the loss of every step.

    Raises:
        ValueError: There is to be a spatial LoRA at the start, and none is given.
    """
    how, lora = request.config.distillation, lora_at_start(model, lora, request)
    with training():
        names, shape = layer_names(model), request.config.lora
        # Before there is a LoRA in it: the UNet's weights have their own names.
        setting = with_bases_in(make_setting(model, motion, data, request), request)
        if lora is not None:
            setting = replace(setting, origin=setting.origin.and_contents(LoRA=of_tensors(lora)))
            weights, shape = read(lora, names)
            replace_layers(setting.model, _layers(weights), shape)
            fill(setting.model, weights)
        elif not how.decoupled:
            inject(setting.model, names, shape, request.config.seed)
        stage = motion_stage(setting)
        losses = run(stage, setting)
        if not how.decoupled:
            lora = export(_within(stage.average, "unet."), names, shape)
        return _finished(motion, stage, request), lora, losses


def lora_at_start(model: ModelPatcher, lora: dict[str, Tensor] | None, request: Request) -> dict[str, Tensor] | None:
    """Return the spatial LoRA that the motion stage starts from: the one given, checked, or none.

    Raises:
        ValueError: It needs one, and none is given, or one of another kind of model.
    """
    how = request.config.distillation
    if how.decoupled and how.init == "none":
        return None
    if lora is not None:
        check_lora(model, lora)
    elif how.decoupled:
        raise ValueError(f"init '{how.init}' starts from a spatial LoRA, and none is connected. Connect the LoRA of "
                         "Distill Spatial LoRA, or choose init 'none'")
    return lora


def train_image_encoder(model: ModelPatcher, motion: LoadedMotion, with_motion: bool, data: Data, request: Request,
                        run: RunStage) -> tuple[LoadedMotion, list[float]]:
    """Train an image encoder for a few-step motion module, without a teacher (Wang et al. 2024, third part).

    Each clip's first frame is its reference. An encoder that the module already has is trained further.

    Args:
        with_motion: Whether the motion module is trained together with the encoder.
        run: Runs the stage's loop.

    Returns:
        The motion module with its encoder, and the loss of every step.
    """
    request = adapted_to(motion, request, is_trained=with_motion)
    with training():
        setting = make_setting(model, motion, data, request)
        setting = replace(setting, source=_with_reference(setting.source))
        if setting.model.encoder is None:
            setting.model.encoder = _new_encoder(motion, request.config.seed, setting.empty.device)
        setting = replace(setting, origin=setting.origin.and_settings({"with_motion": with_motion}))
        stage = adaptation_stage(setting, ("encoder.", "motion.") if with_motion else ("encoder.",))
        losses = run(stage, setting)
        return _finished(motion, stage, request), losses


def tune_motion_module(model: ModelPatcher, motion: LoadedMotion, data: Data, request: Request, run: RunStage
                       ) -> tuple[LoadedMotion, list[float]]:
    """Tune a few-step motion module to the window of the rolling sampler, without a teacher.

    Best on clips that the few-step model itself has made: others would also teach it what they look like.

    Args:
        request: `rolling` of its distillation says for how many steps.
        run: Runs the stage's loop.

    Returns:
        The motion module, and the loss of every step.
    """
    request = tuned_to_rolling(motion, request)
    with training():
        setting = make_setting(model, motion, data, request)
        stage = adaptation_stage(setting, ("motion.",))
        losses = run(stage, setting)
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


def with_bases_in(setting: Setting, request: Request) -> Setting:
    """Return the setting with the request's bases, and its origin with what they are."""
    precision = DTYPES[setting.config.loop.precision]
    return replace(setting, bases=in_turn(setting.model, request.bases, precision, setting.config.seed),
                   origin=with_bases(setting.origin, request.bases))


def make_setting(model: ModelPatcher, motion: LoadedMotion | None, data: Data, request: Request) -> Setting:
    """Return what every stage needs: a network of our own, the data, and the schedule with its grid.

    Raises:
        ValueError: What is given does not go together.
    """
    check_parts(model, motion, request)
    config, schedule = request.on_its_grid().config, SCHEDULES[request.schedule]
    device = comfy.model_management.get_torch_device()
    noise = diffusion(model, schedule, device)
    source = data.source(model, config, device)
    # What the host holds on the device gives way to the training.
    comfy.model_management.unload_all_models()
    own = trainable(model, motion, DTYPES[config.loop.precision], device, config.gradient_checkpointing)
    largest = source.largest() if isinstance(source, LatentSource) else 0
    # What no weight of the MODEL shows.
    of_model = {"prediction": noise.prediction,
                "zsnr": bool(getattr(model.get_model_object("model_sampling"), "zsnr", False))}
    made_from = data.origin().and_settings({"schedule": request.schedule, **of_model, **settings(config)})
    return Setting(own, source, data.empty().to(device), noise, config, largest,
                   with_parts(made_from, model, motion))


def check_memory(stage: Stage, setting: Setting, report: Callable[[str], None]) -> None:
    """Say how much memory a stage needs, and refuse one that does not fit; the first thing that a run does.

    Raises:
        MemoryError: It does not fit into what is free.
    """
    needed = estimate(stage, setting.model, setting.source(setting.largest), setting.config.loop)
    report(str(needed))
    needed.check(comfy.model_management.get_free_memory(setting.empty.device))


def checked(run: Callable[[Stage, TrainingConfig], list[float]], report: Callable[[str], None]) -> RunStage:
    """Return a run outside of the graph, which begins with the check of the memory."""
    def run_stage(stage: Stage, setting: Setting) -> list[float]:
        check_memory(stage, setting, report)
        return run(stage, setting.config)
    return run_stage


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
    how = request.config.distillation
    # What is adapted stays what it was distilled as.
    trained_as = trained_by(how) if stage.name == "motion" else motion.trained
    if how.rolling:
        trained_as = trained_as.tuned(how.rolling)
    return LoadedMotion(request.name, request.schedule, request.schedule, motion.config, patcher, encoder,
                        sampling=trained_as.sampling, trained=trained_as)


def trained_by(how: DistillationConfig) -> Trained:
    """Return what a file says of a distillation."""
    return Trained(how.phases, how.w_max > 0, described(how))

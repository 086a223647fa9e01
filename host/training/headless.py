"""Train outside of the graph: the host loads and encodes, the loop is the caller's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import comfy.sd
import torch
from comfy.controlnet import ControlBase
from comfy.model_patcher import ModelPatcher
from safetensors.torch import save_file
from torch import Tensor

from ...demo.files import WEIGHTS
from ...demo.model import load_demo_model
from ...samplers.schedules import SCHEDULES
from ...storage.atomic import replacing
from ...training.cache import CachedClips, Encoders
from ...training.config import TrainingConfig
from ...training.data import sha256
from ...training.draws import Source
from ...training.fingerprint import digest, of_code, settings
from ...training.options import TRAINED_ALONG, OptionError, Plan, RunOptions
from ...training.origin import Origin
from ...training.trainer import Stage
from ..folders import EMBEDDED, motion_path
from ..motion import LoadedMotion, load_motion
from ..saving import write_motion
from ..weights import WeightsError, load_checkpoint, load_control_net, read_lora
from .bases import load_bases, named_bases
from .control_nets import adapt_control_net, write_control_net
from .runs import (
    Request,
    checked,
    distil_motion_module,
    distil_spatial_lora,
    train_image_encoder,
    trained_by,
    tune_motion_module,
)

DEMO = "demo"
CUTTING = ("training/cache.py", "training/clips.py", "training/data.py")
"""The code that decides what is shown of a folder's files, and in which order."""


@dataclass(frozen=True)
class Loaded:
    """A checkpoint, and what tells it from others."""

    model: ModelPatcher
    clip: comfy.sd.CLIP
    vae: comfy.sd.VAE
    identity: str

    def encoders(self) -> Encoders:
        """Return what encodes clips and captions for this MODEL."""
        latent_format = self.model.get_model_object("latent_format")

        def frames(clip: Tensor) -> Tensor:
            with torch.inference_mode():
                return latent_format.process_in(self.vae.encode(clip.movedim(1, -1)))

        def text(caption: str) -> Tensor:
            with torch.inference_mode():
                return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(caption))[0][0][0]

        return Encoders(frames, text, self.identity, self.identity)


@dataclass(frozen=True)
class CachedData:
    """A folder whose clips are encoded already, as data of a training."""

    clips: CachedClips

    def source(self, model: ModelPatcher, config: TrainingConfig, device: torch.device) -> Source:
        """Return the batches of a run; they are encoded already."""
        return self.clips.source(config.batch, device)

    def empty(self) -> Tensor:
        """Return the encoded empty caption, 1 n d."""
        return self.clips.context([""])

    def origin(self) -> Origin:
        """Return what the batches of a run are made from: the files, how they are cut, and what encodes them."""
        clips = self.clips
        items = [(item.digest, item.hint_digest, item.caption) for item in clips.folder.items]
        how = settings(clips.clip_settings, "clips.") | settings(clips.settings, "views.")
        return Origin(how).and_contents(
            data=digest(items, of_code(*CUTTING)), text_encoder_or_VAE=digest(clips.frames_id, clips.text_id))


def load(name: str) -> Loaded:
    """Load a checkpoint by its path, or the demo model.

    Raises:
        OptionError: There is no such file, or it is no whole checkpoint.
    """
    if name == DEMO:
        return Loaded(*load_demo_model(), "demo " + " ".join(sha256(path) for path in sorted(WEIGHTS.iterdir())))
    path = Path(name)
    try:
        return Loaded(*load_checkpoint(path), sha256(path))
    except WeightsError as error:
        raise OptionError(f"model: {error}. Give the path of one, or '{DEMO}'") from error


def train_plan(plan: Plan, loaded: Loaded, clips: CachedClips, run: Callable[[Stage, TrainingConfig], list[float]],
               report: Callable[[str], None]) -> Callable[[Path], list[Path]]:
    """Run the plan's stage, and return what writes the result, from a path without suffix to the files.

    Args:
        run: Runs the loop.
        report: Shows a line of text: how much memory is needed.

    Raises:
        OptionError: A file that the stage needs is missing, or the schedule has no distillation grid.
    """
    options = plan.options
    if options.schedule not in SCHEDULES or SCHEDULES[options.schedule].original_steps is None:
        known = ", ".join(name for name, schedule in SCHEDULES.items() if schedule.original_steps is not None)
        raise OptionError(f"schedule is {options.schedule!r}; expected one with a distillation grid: {known}")
    request, data = Request(plan.config, options.schedule, options.name, _bases(options, loaded)), CachedData(clips)
    run_stage = checked(run, report)
    if options.stage == "image":
        distilled, _ = distil_spatial_lora(loaded.model, data, request, run_stage)
        facts = trained_by(plan.config.distillation).facts()
        return lambda path: _write_lora(path, distilled, facts)
    try:
        lora = None if options.lora is None else read_lora(options.lora)
        control = None if options.control_net is None else load_control_net(options.control_net)
        motion = load_motion(motion_path(EMBEDDED) if options.motion == DEMO else options.motion)
    except ValueError as error:
        raise OptionError(str(error)) from error
    if options.stage == "adapt" and lora is not None:
        # The few-step model is what is adapted to: its LoRA is part of it.
        changed = comfy.sd.load_lora_for_models(loaded.model, None, lora, 1.0, 0.0)[0]
        if len(changed.patches) <= len(loaded.model.patches):
            raise OptionError(f"lora: {options.lora} changes no layer of the model. Give one for this kind of model")
        loaded = replace(loaded, model=changed)
    if control is not None:
        adapted, _ = adapt_control_net(loaded.model, motion, control, data, request, run_stage)
        return lambda path: _write_control_net(path, adapted)
    if options.stage == "adapt" and plan.config.distillation.rolling:
        tuned, _ = tune_motion_module(loaded.model, motion, data, request, run_stage)
        return lambda path: _write_motion(path, tuned)
    if options.stage == "adapt":
        trained, _ = train_image_encoder(loaded.model, motion, True, data, request, run_stage)
        return lambda path: _write_motion(path, trained)
    trained, along, _ = distil_motion_module(loaded.model, motion, lora, data, request, run_stage)
    if plan.config.distillation.decoupled or along is None:
        return lambda path: _write_motion(path, trained)
    facts = trained.trained.facts()
    return lambda path: [*_write_motion(path, trained), *_write_lora(Path(f"{path}{TRAINED_ALONG}"), along, facts)]


def _weights_file(path: Path) -> Path:
    # Not with_suffix: what follows the last dot of a name is part of it.
    return path.with_name(f"{path.name}.safetensors")


def _write_control_net(path: Path, control: ControlBase) -> list[Path]:
    write_control_net(control, file := _weights_file(path))
    return [file]


def _bases(options: RunOptions, loaded: Loaded) -> tuple[ModelPatcher, ...]:
    """Return the further base models of the run.

    Raises:
        OptionError: One of them cannot be used.
    """
    try:
        return tuple(load_bases(loaded.model, named_bases(options.bases, Path)))
    except ValueError as error:
        raise OptionError(f"bases: {error}") from error


def _write_lora(path: Path, lora: dict[str, Tensor], facts: dict[str, str]) -> list[Path]:
    with replacing(file := _weights_file(path)) as unfinished:
        save_file(lora, unfinished, {"format": "pt", **facts} if facts else None)
    return [file]


def _write_motion(path: Path, motion: LoadedMotion) -> list[Path]:
    file = _weights_file(path)
    write_motion(replace(motion, name=file.name), file)
    return [file]

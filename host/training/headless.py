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

from ...demo.files import MODELS, MOTION, WEIGHTS
from ...demo.model import load_demo_model
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
from .checks import check_parts
from .control_nets import adapt_control_net, check_control_net, write_control_net
from .requests import Request, adapted_to, tuned_to_rolling
from .runs import (
    checked,
    distil_motion_module,
    distil_spatial_lora,
    lora_at_start,
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


@dataclass(frozen=True)
class Parts:
    """What a run is made of beside its data."""

    request: Request
    model: ModelPatcher
    """With the spatial LoRA, where something is adapted to it."""
    motion: LoadedMotion | None = None
    """None where single images are trained on."""
    lora: dict[str, Tensor] | None = None
    """The spatial LoRA that a motion module is distilled with."""
    control: ControlBase | None = None

    def check(self) -> None:
        """Check that they go together, which takes no data.

        Raises:
            ValueError: They do not.
        """
        request = self.request
        if request.config.stage == "motion":
            lora_at_start(self.model, self.lora, request)
        elif self.motion is not None and request.config.distillation.rolling:
            request = tuned_to_rolling(self.motion, request)
        elif request.config.stage == "adapt":
            request = adapted_to(self.motion, request, is_trained=self.control is None)
        if self.control is not None:
            check_control_net(self.control, self.model)
        check_parts(self.model, self.motion, request)


def parts_of(plan: Plan, loaded: Loaded) -> Parts:
    """Load what a run is made of beside its data, and check it: before hours go into encoding these.

    Raises:
        OptionError: A file cannot be used, or does not go with the others.
    """
    options = plan.options
    try:
        bases = tuple(load_bases(loaded.model, named_bases(options.bases, Path)))
    except ValueError as error:
        raise OptionError(f"bases: {error}") from error
    parts = Parts(Request(plan.config, options.schedule, options.name, bases), loaded.model)
    try:
        if options.stage != "image":
            parts = _with_files(parts, options)
        parts.check()
    except ValueError as error:
        raise OptionError(str(error)) from error
    return parts


def _with_files(parts: Parts, options: RunOptions) -> Parts:
    lora = None if options.lora is None else read_lora(options.lora)
    control = None if options.control_net is None else load_control_net(options.control_net)
    motion = None if parts.request.config.frames == 1 else load_motion(_motion_file(options))
    parts = replace(parts, motion=motion, control=control)
    if options.stage == "motion" or lora is None:
        return replace(parts, lora=lora)
    # The few-step model is what is adapted to: its LoRA is part of it.
    changed = comfy.sd.load_lora_for_models(parts.model, None, lora, 1.0, 0.0)[0]
    if len(changed.patches) <= len(parts.model.patches):
        raise ValueError(f"lora: {options.lora} changes no layer of the model. Give one for this kind of model")
    return replace(parts, model=changed)


def train_parts(parts: Parts, clips: CachedClips, run: Callable[[Stage, TrainingConfig], list[float]],
                report: Callable[[str], None]) -> Callable[[Path], list[Path]]:
    """Run a stage, and return what writes the result, from a path without suffix to the files.

    Args:
        run: Runs the loop.
        report: Shows a line of text: how much memory is needed.
    """
    request, model, motion = parts.request, parts.model, parts.motion
    data, run_stage, how = CachedData(clips), checked(run, report), request.config.distillation
    if parts.control is not None:
        adapted, _ = adapt_control_net(model, motion, parts.control, data, request, run_stage)
        return lambda path: _write_control_net(path, adapted)
    if motion is None:
        distilled, _ = distil_spatial_lora(model, data, request, run_stage)
        return lambda path: _write_lora(path, distilled, trained_by(how).facts())
    if request.config.stage == "adapt":
        trained, _ = (tune_motion_module(model, motion, data, request, run_stage) if how.rolling
                      else train_image_encoder(model, motion, True, data, request, run_stage))
        return lambda path: _write_motion(path, trained)
    trained, along, _ = distil_motion_module(model, motion, parts.lora, data, request, run_stage)
    if how.decoupled or along is None:
        return lambda path: _write_motion(path, trained)
    return lambda path: [*_write_motion(path, trained),
                         *_write_lora(Path(f"{path}{TRAINED_ALONG}"), along, trained.trained.facts())]


def _motion_file(options: RunOptions) -> str | Path:
    """Return the motion file of the run; of the demo model's two, what is adapted needs the one for few steps."""
    if options.motion != DEMO:
        return options.motion
    return MODELS / MOTION if options.stage == "adapt" else motion_path(EMBEDDED)


def _weights_file(path: Path) -> Path:
    # Not with_suffix: what follows the last dot of a name is part of it.
    return path.with_name(f"{path.name}.safetensors")


def _write_control_net(path: Path, control: ControlBase) -> list[Path]:
    write_control_net(control, file := _weights_file(path))
    return [file]


def _write_lora(path: Path, lora: dict[str, Tensor], facts: dict[str, str]) -> list[Path]:
    with replacing(file := _weights_file(path)) as unfinished:
        save_file(lora, unfinished, {"format": "pt", **facts} if facts else None)
    return [file]


def _write_motion(path: Path, motion: LoadedMotion) -> list[Path]:
    file = _weights_file(path)
    write_motion(replace(motion, name=file.name), file)
    return [file]

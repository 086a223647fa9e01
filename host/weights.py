"""Weight files that the host reads, checked before it does: what came, what was expected, and where."""

from __future__ import annotations

import re
from pathlib import Path

import comfy.controlnet
import comfy.sd
from comfy.controlnet import ControlBase
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..motion.containers import check_file, read_tensors, tensor_names
from ..motion.errors import MotionFileError, short, some
from ..motion.formats import LORA_KEY, TEMPORAL_KEY, find_foreign


class WeightsError(ValueError):
    """A file of weights is not what it was given as; the message names it and says what it is."""


def read_lora(path: Path, name: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a LoRA of the image model.

    Raises:
        WeightsError: It is something else, or damaged.
    """
    try:
        tensors, _ = read_tensors(path)
        shapes = {key: tensor.shape for key, tensor in tensors.items()}
        loras = [key for key in shapes if re.search(LORA_KEY, key)]
        if not loras:
            foreign = find_foreign(shapes)
            what = f"seems to be {foreign.what}" if foreign else f"is not recognised: it begins with {some(shapes)}"
            raise MotionFileError(f"{what}. Expected a LoRA of the image model, such as Distill Spatial LoRA makes.")
        if any(re.search(TEMPORAL_KEY, key) for key in loras):
            raise MotionFileError("is a motion LoRA. Expected a LoRA of the image model, such as Distill Spatial LoRA "
                                  "makes.")
    except MotionFileError as error:
        raise WeightsError(f"{name or path.name} {error}") from error
    return tensors


def is_lora(path: Path) -> bool:
    """Return whether a file of weights is a LoRA of any kind, by the names of its tensors.

    Raises:
        WeightsError: It is no file of weights, or damaged.
    """
    _check(path)
    try:
        return any(re.search(LORA_KEY, key) for key in tensor_names(path))
    except MotionFileError as error:
        raise WeightsError(f"{path.name} {error}") from error


def load_checkpoint(path: Path) -> tuple[ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """Return the parts of a whole checkpoint.

    Raises:
        WeightsError: It is no whole checkpoint, or damaged.
    """
    _check(path)
    try:
        model, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(str(path), output_vae=True, output_clip=True)
    except Exception as error:  # the host's reader fails in any way at all
        raise WeightsError(f"{path.name} is no checkpoint that ComfyUI can read ({short(error)}). Expected a whole "
                           "checkpoint of Stable Diffusion 1.5") from error
    if model is None or clip is None or vae is None:
        raise WeightsError(f"{path.name} lacks a UNet, a text encoder or a VAE. Expected a whole checkpoint of Stable "
                           "Diffusion 1.5")
    return model, clip, vae


def load_control_net(path: Path) -> ControlBase:
    """Return the ControlNet of a file.

    Raises:
        WeightsError: There is none in it, or it is damaged.
    """
    _check(path)
    try:
        control = comfy.controlnet.load_controlnet(str(path))
    except Exception as error:  # the host's reader fails in any way at all
        raise WeightsError(f"{path.name} is no ControlNet that ComfyUI can read ({short(error)}). Expected one for "
                           "Stable Diffusion 1.5") from error
    if control is None:
        raise WeightsError(f"there is no ControlNet in {path.name}. Expected one for Stable Diffusion 1.5")
    return control


def _check(path: Path) -> None:
    try:
        check_file(path)
    except MotionFileError as error:
        raise WeightsError(f"{path.name} {error}") from error

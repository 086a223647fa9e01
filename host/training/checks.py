"""Whether what a training is given goes together: asked before data are encoded and weights are copied."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from comfy.model_patcher import ModelPatcher
from torch import Size, Tensor

from ...samplers.schedules import SCHEDULES
from ...training.lora import read
from ..fit import check_fit
from ..motion import LoadedMotion
from .network import check_unet, diffusion, layer_names
from .requests import Request


def check_parts(model: ModelPatcher, motion: LoadedMotion | None, request: Request) -> None:
    """Check that a MODEL, its further bases, and a motion module can be trained together as the request says.

    Raises:
        ValueError: They cannot; the message says why.
    """
    request = request.on_its_grid()
    check_unet(model)
    diffusion(model, SCHEDULES[request.schedule], torch.device("cpu"))
    own = _shapes(model)
    for number, base in enumerate(request.bases, 1):
        if odd := sorted(key for key, shape in _shapes(base).items() if own.get(key) != shape):
            raise ValueError(f"base {number} is of another kind than the MODEL: {odd[0]} does not fit. Give LoRAs and "
                             "checkpoints of Stable Diffusion 1.5")
    if motion is None:
        return
    motion.check_fixed()
    check_fit(model, motion.name, motion.family, motion.patcher.model)
    if request.config.num_frames > motion.config.max_frames:
        raise ValueError(f"num_frames is {request.config.num_frames}, and {motion.name} knows at most "
                         f"{motion.config.max_frames} frames. Train on fewer, or take another motion module")


def check_lora(model: ModelPatcher, lora: Mapping[str, Tensor]) -> None:
    """Check that a spatial LoRA is one for the MODEL's UNet.

    Raises:
        ValueError: It is none.
    """
    weights, _ = read(lora, layer_names(model))
    shapes = _shapes(model)
    for name, weight in weights.items():
        layer, _, part = name.removeprefix("unet.").removesuffix(".weight").rpartition(".")
        own = shapes[f"{layer}.weight"]
        if (weight.shape[1:] != own[1:]) if part == "down" else (len(weight) != own[0]):
            raise ValueError(f"the LoRA does not fit this UNet: {name} is {tuple(weight.shape)}, and the layer's "
                             f"weight {tuple(own)}. Give one that was made for the same kind of model")


def _shapes(model: ModelPatcher) -> dict[str, Size]:
    return {key: weight.shape for key, weight in model.get_model_object("diffusion_model").named_parameters()}

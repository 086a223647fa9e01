"""ControlNets for a few-step model: what the stock loader gives is adapted, and the stock nodes take what comes out.

A CONTROL_NET is a network, or an addition to the UNet's own weights (a ControlNet-LoRA). Both are trained as a network
of our own with the whole weights, and what was given stays as it is, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import folder_paths
import torch
from comfy.cldm.cldm import ControlNet
from comfy.controlnet import ControlBase, ControlLora
from comfy.model_patcher import ModelPatcher
from safetensors.torch import save_file
from torch import Tensor

from ...storage.atomic import replacing
from ...training.stages import adaptation_stage
from ..motion import LoadedMotion
from ..patchers import weights_of
from .data import Data
from .network import UNET, attending, check_unet
from .origins import of_control
from .requests import Request, adapted_to
from .runs import RunStage, make_setting, training

ADDITION = "lora_controlnet"
"""Key by which the stock loader knows a file of additions to a UNet's weights."""
SHARED_PARTS = ("time_embed.", "input_blocks.", "middle_block.")
"""The parts of a UNet that a ControlNet has too."""
PREFIX = "control."
"""What the names of a ControlNet's weights begin with in a Trainable."""
GIVE_ANOTHER = "Give one that was made for this kind of MODEL, Stable Diffusion 1.5"
FILE_PREFIX = "control_model."
"""What the keys of a ControlNet's file begin with."""


def adapt_control_net(model: ModelPatcher, motion: LoadedMotion | None, control: ControlBase, data: Data,
                      request: Request, run: RunStage) -> tuple[ControlBase, list[float]]:
    """Tune a ControlNet to a few-step model, without a teacher (Wang et al. 2024, third part).

    Args:
        motion: The motion module of clips; None trains on images.
        data: With a hint for each clip or image.
        run: Runs the stage's loop.

    Returns:
        A CONTROL_NET like the one given, and the loss of every step.

    Raises:
        ValueError: The CONTROL_NET is of a kind that cannot be adapted, or none for the MODEL's UNet.
    """
    request = adapted_to(motion, request)
    check_control_net(control, model)
    with training():
        setting = make_setting(model, motion, data, request)
        setting = replace(setting, origin=setting.origin.and_contents(ControlNet=of_control(control)))
        setting.model.control = attending(_network(model, whole_weights(control, model), setting.empty.device))
        stage = adaptation_stage(setting, (PREFIX,))
        losses = run(stage, setting)
        trained = {name.removeprefix(PREFIX): weight for name, weight in stage.average.items()}
        return _with_weights(control, trained, model), losses


def check_control_net(control: ControlBase, model: ModelPatcher) -> None:
    """Refuse a CONTROL_NET that cannot be adapted, or is none for the MODEL's UNet.

    Raises:
        ValueError: It is one of these.
    """
    check_kind(control)
    check_unet(model)
    _layout(model, whole_weights(control, model))


def check_kind(control: ControlBase) -> None:
    """Refuse a CONTROL_NET that does not add its features as they are to a UNet of Stable Diffusion 1.5's kind.

    Raises:
        ValueError: It is a T2I-Adapter, a union of several, a "shuffle", or for another kind of model.
    """
    network = getattr(control, "control_model", None)
    whole = isinstance(network, ControlNet) and network.control_add_embedding is None
    if not (whole or isinstance(control, ControlLora)) or control.global_average_pooling:
        raise ValueError(f"this CONTROL_NET is a {type(control).__name__} of a kind that is not known here; expected a "
                         "ControlNet or ControlNet-LoRA for Stable Diffusion 1.5, neither a union of several nor one "
                         "for shuffled pictures")


def whole_weights(control: ControlBase, model: ModelPatcher) -> dict[str, Tensor]:
    """Return copies, in float32, of all weights that a ControlNet works with on this MODEL.

    Raises:
        ValueError: It is an addition to the weights of another UNet.
    """
    if not isinstance(control, ControlLora):
        return weights_of(control.control_model_wrapped)
    weights = {part + key: weight for part in SHARED_PARTS for key, weight in weights_of(model, UNET + part).items()}
    own = {key: weight.to("cpu", torch.float32, copy=True) for key, weight in control.control_weights.items()}
    weights |= {key: weight for key, weight in own.items() if key.endswith((".weight", ".bias"))}
    for key in own:
        layer, _, part = key.rpartition(".")
        if part == "up":
            weight = weights.get(f"{layer}.weight")
            product = own[key].flatten(1) @ own[f"{layer}.down"].flatten(1)
            if weight is None or product.shape != weight.flatten(1).shape:
                raise ValueError(f"this CONTROL_NET does not fit the MODEL's UNet: {layer} has another shape or is "
                                 f"missing. {GIVE_ANOTHER}")
            weights[f"{layer}.weight"] = weight + product.reshape(weight.shape).to(weight)
    return weights


def _network(model: ModelPatcher, weights: Mapping[str, Tensor], device: torch.device,
             dtype: torch.dtype = torch.float32, ops: type = comfy.ops.disable_weight_init) -> ControlNet:
    """Return a ControlNet in the layout of the MODEL's UNet with these weights.

    Raises:
        ValueError: They are those of another layout.
    """
    network = _layout(model, weights, dtype, ops)
    network.load_state_dict({key: weight.to(device, dtype) for key, weight in weights.items()}, assign=True)
    return network


def _layout(model: ModelPatcher, weights: Mapping[str, Tensor], dtype: torch.dtype = torch.float32,
            ops: type = comfy.ops.disable_weight_init) -> ControlNet:
    """Return a ControlNet in the layout of the MODEL's UNet, without weights, where these fit into it."""
    config = {**model.model.model_config.unet_config, "dtype": dtype, "hint_channels": 3}
    del config["out_channels"]
    with torch.device("meta"):
        network = ControlNet(**config, operations=ops)
    shapes = {key: weight.shape for key, weight in network.state_dict().items()}
    given = {key: weight.shape for key, weight in weights.items()}
    if wrong := sorted(key for key in shapes.keys() | given.keys() if shapes.get(key) != given.get(key)):
        raise ValueError(f"this CONTROL_NET does not fit the MODEL's UNet: {len(wrong)} of {len(shapes)} weights have "
                         f"another shape or are missing, such as {wrong[0]}. {GIVE_ANOTHER}")
    return network


def _with_weights(control: ControlBase, weights: Mapping[str, Tensor], model: ModelPatcher) -> ControlBase:
    """Return a CONTROL_NET like `control`, in the precision that it has, with other weights."""
    new, offload = control.copy(), comfy.model_management.unet_offload_device()
    if isinstance(control, ControlLora):
        dtype = _dtype(control)
        new.control_weights = {key: weight.to(offload, dtype) for key, weight in weights.items()}
        new.control_weights[ADDITION] = torch.zeros(0, dtype=dtype)
        return new
    dtype = control.control_model.dtype
    network = _network(model, weights, offload, dtype, comfy.ops.pick_operations(dtype, control.manual_cast_dtype))
    new.control_model = network.eval().requires_grad_(False)
    new.control_model_wrapped = comfy.model_patcher.CoreModelPatcher(
        network, load_device=control.load_device, offload_device=offload)
    return new


def _dtype(control: ControlLora) -> torch.dtype:
    return next(weight.dtype for key, weight in control.control_weights.items() if key.startswith("zero_convs."))


def save_control_net(control: ControlBase, filename_prefix: str) -> Path:
    """Write a ControlNet as a file that Load ControlNet Model reads, in the precision it has; return its path.

    Raises:
        ValueError: The CONTROL_NET is of a kind that the training nodes do not know.
        Exception: The prefix leads out of the host's output folder, which the host refuses.
    """
    check_kind(control)
    folder, name, counter, _, _ = folder_paths.get_save_image_path(filename_prefix, folder_paths.get_output_directory())
    path = Path(folder) / f"{name}_{counter:05}_.safetensors"
    write_control_net(control, path)
    return path


def write_control_net(control: ControlBase, path: Path) -> None:
    """Write a ControlNet with the original's keys, or a ControlNet-LoRA as such, in the precision it has."""
    if isinstance(control, ControlLora):
        weights = control.control_weights
    else:
        dtype = control.control_model.dtype
        weights = {FILE_PREFIX + key: weight.to(dtype)
                   for key, weight in weights_of(control.control_model_wrapped).items()}
    with replacing(path) as unfinished:
        save_file({key: weight.cpu().contiguous() for key, weight in weights.items()}, unfinished)

"""Motion weights as the host loads them: patchers, copies of them, and their names on a MODEL.

A network has one set of patches at a time, the last one that was loaded. So weights that differ are networks that
differ, and a MODEL has each of them once, by a name that says what the weights are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.lora
import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..motion.module import MotionModule, TemporalAttention, sinusoid
from .operations import operations

KEY = "animatelcm"
"""Names our additional models, wrappers, callbacks, attachments and options on a MODEL."""


def layers_in(dtype: torch.dtype) -> dict:
    """Return the arguments with which a network that the host loads is built."""
    return {"ops": operations, "dtype": dtype, "device": comfy.model_management.unet_offload_device()}


def motion_patcher(network: nn.Module, disable_dynamic: bool = False) -> ModelPatcher:
    """Hand the network to the host, which then loads, offloads and counts it."""
    kind = ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    return kind(network.eval().requires_grad_(False), load_device=comfy.model_management.get_torch_device(),
                offload_device=comfy.model_management.unet_offload_device())


def held(build: Callable[[], nn.Module], weights: dict[str, Tensor], disable_dynamic: bool = False) -> ModelPatcher:
    """Return a new network with these weights in a patcher that the host can ask for a copy, as for another GPU.

    The copy is made from memory: a file may be another one by then.
    """
    network = build()
    source = motion_patcher(network, disable_dynamic)
    network.load_state_dict(weights, assign=source.is_dynamic())
    return _with_source(source, build)


def rebuilt(patcher: ModelPatcher, build: Callable[[], nn.Module], disable_dynamic: bool = False,
            more: dict[str, Tensor] | None = None) -> ModelPatcher:
    """Return a patcher with the same weights and patches on a network of its own.

    In main memory both share their tensors: the host replaces weights, and never writes into them.

    Args:
        build: Makes the network; its weights do not matter.
        disable_dynamic: Whether the host wants it without dynamic loading.
        more: Weights of the network that the patcher does not have.
    """
    network, device = build().requires_grad_(False), patcher.offload_device
    # Of a patched weight this is the one before; what lies on a GPU is copied, since the host may free it there.
    weights = {key: weight.detach().to(device) for key, ((weight, _), *_) in patcher.get_key_patches().items()}
    network.load_state_dict(weights | (more or {}), assign=True)
    for name, buffer in patcher.model.named_buffers():
        comfy.utils.set_attr_buffer(network, name, buffer.detach().to(device))
    copied = _with_source(motion_patcher(network, disable_dynamic), build)
    for key, patches in patcher.patches.items():
        for strength, patch, strength_model, rows, function in patches:
            copied.add_patches({(key, rows, function): patch}, strength, strength_model)
    return copied


def _with_source(source: ModelPatcher, build: Callable[[], nn.Module]) -> ModelPatcher:
    patcher = source.clone()
    # Not from itself, in a circle that would keep it for ever.
    patcher.cached_patcher_init = (rebuilt, (source, build))
    return patcher


def weights_name(patcher: ModelPatcher) -> str:
    """Return a name for the weights that a patcher stands for, the same for its clones."""
    return patcher.get_attachment(KEY) or f"{KEY}.{patcher.clone_base_uuid}"


def name_weights(patcher: ModelPatcher, name: str) -> None:
    """Name the weights that a patcher stands for; equal names mean equal weights."""
    patcher.set_attachments(KEY, name)


def attach(model: ModelPatcher, key: str, patcher: ModelPatcher) -> str:
    """Put a patcher among the additional models of a MODEL, once for equal weights, and return their name.

    Args:
        key: Under which additional models.

    Raises:
        ValueError: The MODEL has the same network with other patches, which the host would put on both.
    """
    name, before = weights_name(patcher), model.get_additional_models_with_key(key)
    if any(each.is_clone(patcher) and each.patches_uuid != patcher.patches_uuid for each in before):
        raise ValueError("another pack has changed the weights of a motion module that the MODEL already has, and both "
                         "would get the same ones. Change them with Load Motion LoRA, or load one of them from a copy "
                         "of the file")
    if all(weights_name(each) != name for each in before):
        model.set_additional_models(key, [*before, patcher.clone()])
    return name


def attached(model: ModelPatcher, name: str) -> Any:
    """Return the network that was attached to a MODEL, of whatever class it is, by the name of its weights.

    Raises:
        RuntimeError: Another pack has taken it away.
    """
    for patcher in model.get_additional_models():
        if weights_name(patcher) == name:
            return patcher.model
    raise RuntimeError("the weights of a motion module are gone from the MODEL: another node has replaced its "
                       "additional models. Apply the motion module after that node")


def weights_of(patcher: ModelPatcher, prefix: str = "") -> dict[str, Tensor]:
    """Return copies, in float32, of the weights that a MODEL samples with, whether or not it is loaded at the time."""
    weights = {}
    with torch.inference_mode(False):
        for key, ((weight, convert), *patches) in patcher.get_key_patches(prefix).items():
            weight = convert(weight, inplace=False).to(torch.float32, copy=True)
            if patches:
                weight = comfy.lora.calculate_weight(patches, weight, key).clone()
            weights[key.removeprefix(prefix)] = weight
    return weights


def positions_of(network: MotionModule) -> dict[int, Tensor] | None:
    """Return the position tables by width, where a motion file brought its own in place of the sinusoid."""
    tables = {layer.positions.shape[1]: layer.positions.float().cpu().clone() for layer in network.modules()
              if isinstance(layer, TemporalAttention)}
    return {width: table for width, table in tables.items() if not torch.equal(table, sinusoid(*table.shape))} or None

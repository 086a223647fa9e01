"""What the parts of a training are, whatever they are called: the weights and all that is put on them.

A weight and its patches count as they are, and not what comes out when the one is put on the other: that differs in its
last digits from machine to machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from comfy.controlnet import ControlBase, ControlLora
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...training.fingerprint import digest, of_tensors, settings
from ...training.origin import Origin
from ..motion import LoadedMotion
from ..patchers import positions_of
from .network import UNET


def with_parts(origin: Origin, model: ModelPatcher, motion: LoadedMotion | None) -> Origin:
    """Return the origin with the MODEL, and with what there is of a motion module."""
    origin = origin.and_contents(base_model=of_patcher(model, UNET))
    if motion is None:
        return origin
    positions = {str(width): table for width, table in (positions_of(motion.patcher.model) or {}).items()}
    of_motion = digest(of_patcher(motion.patcher), of_tensors(positions), sorted(settings(motion.config).items()))
    origin = origin.and_contents(motion_module=of_motion)
    return origin if motion.encoder is None else origin.and_contents(image_encoder=of_patcher(motion.encoder))


def of_control(control: ControlBase) -> str:
    """Return a name for the weights of a ControlNet."""
    if isinstance(control, ControlLora):
        return of_tensors(control.control_weights)
    return of_patcher(control.control_model_wrapped)


def of_patcher(patcher: ModelPatcher, prefix: str = "") -> str:
    """Return a name for weights, and for the LoRAs and other patches on them; those that are loaded count alike."""
    weights, patches = {}, {}
    for key, ((weight, convert), *on_it) in patcher.get_key_patches(prefix).items():
        weights[key] = convert(weight, inplace=False)
        if on_it:
            patches[key] = [_of_patch(patch) for patch in on_it]
    return digest(of_tensors(weights), sorted(patches.items()))


def _of_patch(patch: Any) -> Any:
    """Return what a patch, which is made of tuples, numbers, tensors and objects with these, says of itself."""
    if isinstance(patch, Tensor):
        return of_tensors({"": patch})
    if isinstance(patch, list | tuple):
        return [_of_patch(part) for part in patch]
    if isinstance(patch, Mapping):
        return sorted((str(key), _of_patch(part)) for key, part in patch.items())
    if isinstance(patch, set | frozenset):
        return sorted(map(str, patch))
    if patch is None or isinstance(patch, str | bool | int | float | torch.dtype | torch.Size):
        return repr(patch)
    return [type(patch).__qualname__, getattr(patch, "__qualname__", ""), _of_patch(getattr(patch, "__dict__", {}))]

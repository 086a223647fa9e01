"""Put a motion LoRA on a loaded motion module."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from comfy.weight_adapter.lora import LoRAAdapter

from ..keyframes.curve import Curve
from ..motion.frame_scales import Slot, add_slots
from ..motion.lora import Change, changes, read_motion_lora
from ..motion.module import MotionModule, network_of
from .controls import Factor
from .folders import MOTION_LORAS, listed_name
from .motion import LoadedMotion
from .patchers import layers_in, name_weights, rebuilt, weights_name


def with_motion_lora(motion: LoadedMotion, path: str | Path, strength: float, curve: Curve | None = None
                     ) -> tuple[LoadedMotion, str]:
    """Return the motion module with a LoRA on it, and a line for the node to show; `motion` stays as it is.

    The weights are changed by the host as they are loaded, and changed back, as it does with LoRAs of image models.
    They are a network of their own, so that a MODEL can run both modules.

    Args:
        curve: Factor on the strength at each frame. The LoRA then runs beside the weights, which takes longer.

    Raises:
        MotionFileError: The file is no motion LoRA, or does not fit the module.
    """
    lora = read_motion_lora(path, listed_name(MOTION_LORAS, path))
    found = changes(lora, {key: weight.shape for key, weight in motion.patcher.model.state_dict().items()
                           if ".loras." not in key})
    message = f"{lora.name}: {len(found)} layers, rank {max(len(change.pair.down) for change in found)}"
    if strength == 0:
        return motion, message
    if curve is not None:
        return _beside(motion, found, Factor("Load Motion LoRA", strength, curve)), message
    layers = layers_in(next(motion.patcher.model.parameters()).dtype)
    patcher = rebuilt(motion.patcher, partial(network_of, motion.config, motion.slots, **layers))
    patcher.add_patches({_rows(change): _adapter(change) for change in found}, strength)
    # Two nodes that do the same make equal weights, which a MODEL needs once.
    name_weights(patcher, f"{weights_name(motion.patcher)}+{_digest(found)} * {float(strength)!r}")
    return replace(motion, patcher=patcher), message


def _beside(motion: LoadedMotion, found: Sequence[Change], strength: Factor) -> LoadedMotion:
    """Return the motion module with a LoRA beside its weights, whose strength differs from frame to frame."""
    dtype = next(motion.patcher.model.parameters()).dtype
    layers, slots = layers_in(dtype), tuple(_slot(change, len(motion.loras)) for change in found)
    build = partial(network_of, motion.config, (*motion.slots, *slots), **layers)
    # The names of the places depend on the LoRAs before this one, which begin the list.
    prefixes = add_slots(MotionModule(motion.config, device=torch.device("meta")), (*motion.slots, *slots))
    more = {}
    for prefix, change in zip(prefixes[len(motion.slots):], found, strict=True):
        more[f"{prefix}down.weight"] = change.pair.down.to(dtype)
        more[f"{prefix}up.weight"] = (change.pair.scale * change.pair.up.float()).to(dtype)
    patcher = rebuilt(motion.patcher, build, more=more)
    name_weights(patcher, f"{weights_name(motion.patcher)}+{_digest(found)} over frames")
    return replace(motion, patcher=patcher, slots=(*motion.slots, *slots), loras=(*motion.loras, strength))


def _slot(change: Change, lora: int) -> Slot:
    return Slot(change.key.removesuffix(".weight"), change.first_row, len(change.pair.up), len(change.pair.down), lora)


def _rows(change: Change) -> tuple[str, tuple[int, int, int]]:
    """Return the host's name for some rows of a weight: its key, and the axis, first row and number of rows."""
    return change.key, (0, change.first_row, len(change.pair.up))


def _adapter(change: Change) -> LoRAAdapter:
    pair = change.pair
    # The host divides alpha by the rank again. The rest: no middle factor, no DoRA scale, no new shape.
    return LoRAAdapter(set(), (pair.up, pair.down, pair.scale * len(pair.down), None, None, None))


def _digest(found: Iterable[Change]) -> str:
    """Return what tells a LoRA from others, whatever its file is called."""
    digest = hashlib.sha256()
    for change in found:
        pair = change.pair
        digest.update(repr((change.key, change.first_row, pair.scale, pair.up.dtype, pair.down.dtype)).encode())
        for weight in (pair.up, pair.down):
            digest.update(weight.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()

"""Put a motion LoRA on a loaded motion module."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from comfy.weight_adapter.lora import LoRAAdapter

from ..motion.lora import Change, changes, read_motion_lora
from .folders import MOTION_LORAS, listed_name
from .motion import LoadedMotion


def with_motion_lora(motion: LoadedMotion, path: str | Path, strength: float) -> tuple[LoadedMotion, str]:
    """Return the motion module with a LoRA on it, and a line for the node to show; `motion` stays as it is.

    The weights are changed by the host as they are loaded, and changed back, as it does with LoRAs of image models.

    Raises:
        MotionFileError: The file is no motion LoRA, or does not fit the module.
    """
    lora = read_motion_lora(path, listed_name(MOTION_LORAS, path))
    found = changes(lora, {key: weight.shape for key, weight in motion.patcher.model.state_dict().items()})
    told = f"{lora.name}: {len(found)} layers, rank {max(len(change.pair.down) for change in found)}"
    if strength == 0:
        return motion, told
    patcher = motion.patcher.clone()
    patcher.add_patches({_rows(change): _adapter(change) for change in found}, strength)
    return replace(motion, patcher=patcher), told


def _rows(change: Change) -> tuple[str, tuple[int, int, int]]:
    """Return the host's name for some rows of a weight: its key, and the axis, first row and number of rows."""
    return change.key, (0, change.first_row, len(change.pair.up))


def _adapter(change: Change) -> LoRAAdapter:
    pair = change.pair
    # The host divides alpha by the rank again. The rest: no middle factor, no DoRA scale, no new shape.
    return LoRAAdapter(set(), (pair.up, pair.down, pair.scale * len(pair.down), None, None, None))

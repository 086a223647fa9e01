"""How strongly a LoRA file means its weights: alpha, wherever it stands."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from torch import Tensor

from .containers import MotionFileError

ADAPTER = "lora_adapter_metadata"
"""diffusers' entry in a file's metadata: PEFT's configuration as JSON, where keys may begin with the network's name."""
NETWORK = "unet."
PLAIN = ("ss_network_alpha", "network_alpha", "lora_alpha", "alpha")
"""Entries in the metadata of other trainers."""
BARE_PEFT = "base_model.model."
"""Begins the keys of PEFT's own files, which keep alpha in a file beside them."""
BEYOND = {"use_dora": "DoRA", "lora_bias": "a bias"}
"""What PEFT may do beyond up @ down."""


def scale_of(layer: str, rank: int, alpha: Tensor | None, metadata: Mapping[str, str]) -> float:
    """Return the factor on up @ down of one layer.

    The layer's own alpha counts first, then the file's, from its metadata. Where a file has none, alpha is the rank, so
    that the factor is 1: AnimateDiff and MotionDirector mean it so, and diffusers reads it so.

    Args:
        layer: Its name without prefixes, for configurations that name layers.
        alpha: The layer's own, one number.

    Raises:
        MotionFileError: An alpha is no number.
    """
    if alpha is not None:
        if alpha.numel() != 1:
            raise MotionFileError(f"has an alpha of the shape {tuple(alpha.shape)} for {layer}; expected one number.")
        return alpha.item() / rank
    if config := _adapter(metadata):
        # As in PEFT: a pattern is the end of a layer's name.
        named = next((value for pattern, value in (config.get("alpha_pattern") or {}).items()
                      if re.fullmatch(rf"(.*\.)?({pattern})", layer)), config.get("lora_alpha"))
        return _number(named, f"{ADAPTER} of {layer}") / (math.sqrt(rank) if config.get("use_rslora") else rank)
    for entry in PLAIN:
        if entry in metadata:
            return _number(metadata[entry], entry) / rank
    return 1.0


def check_parameters(keys: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Check that a file says all that is needed to apply it.

    Raises:
        MotionFileError: It does more than up @ down, or keeps alpha in another file.
    """
    for name, what in BEYOND.items():
        if _adapter(metadata).get(name):
            raise MotionFileError(f"uses {what}, which is not supported. Expected weights with up and down alone.")
    if (any(key.startswith(BARE_PEFT) for key in keys) and not any(key.endswith(".alpha") for key in keys)
            and not _adapter(metadata) and not any(entry in metadata for entry in PLAIN)):
        raise MotionFileError("is PEFT's own file, whose alpha stands in the adapter_config.json beside it. Write "
                              "lora_alpha of that file into the metadata of this one, or save the LoRA with diffusers' "
                              "save_lora_weights or save_lora_adapter.")


def _adapter(metadata: Mapping[str, str]) -> dict:
    """Return the UNet's part of diffusers' entry, without the network's name; empty where there is none."""
    if ADAPTER not in metadata:
        return {}
    try:
        config = json.loads(metadata[ADAPTER])
        own = {key.removeprefix(NETWORK): value for key, value in config.items() if key.startswith(NETWORK)}
    except (ValueError, AttributeError) as error:
        raise MotionFileError(f"has metadata that cannot be read: {ADAPTER} is no JSON object ({error}).") from error
    return own or config


def _number(value: object, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise MotionFileError(f"has an alpha that is no number: {where} is {value!r}.")
    return number

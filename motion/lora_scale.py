"""How strongly a LoRA file means its weights: alpha, wherever it stands."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .errors import MotionFileError, short
from .name_patterns import NamePatterns, PatternError

ADAPTER = "lora_adapter_metadata"
"""diffusers' entry in a file's metadata: PEFT's configuration as JSON, where keys may begin with the network's name."""
NETWORK = "unet."
PLAIN = ("ss_network_alpha", "network_alpha", "lora_alpha", "alpha")
"""Entries in the metadata of other trainers."""
BARE_PEFT = "base_model.model."
"""Begins the keys of PEFT's own files, which keep alpha in a file beside them."""
BEYOND = {"use_dora": "DoRA", "lora_bias": "a bias"}
"""What PEFT may do beyond up @ down."""

LARGEST = 65504.0
"""Of a factor on weights: the largest number in half precision."""


@dataclass(frozen=True)
class Scales:
    """What a file's metadata say about alpha."""

    alpha: float | None
    """Of the layers that have none of their own; None where the file has none."""
    patterns: NamePatterns
    """Alpha by pattern of the layer's name."""
    rank_stabilised: bool = False
    """Whether alpha counts by the root of the rank (Kalajdzievski 2023)."""

    def of(self, layer: str, rank: int, own: Tensor | None) -> float:
        """Return the factor on up @ down of one layer.

        The layer's own alpha counts first, then the file's, from its metadata. Where a file has none, alpha is the
        rank, so that the factor is 1: AnimateDiff and MotionDirector mean it so, and diffusers reads it so.

        Args:
            layer: Its name without prefixes, for configurations that name layers.
            own: The layer's own alpha, one number.

        Raises:
            MotionFileError: An alpha is no number.
        """
        if own is not None:
            return _checked(_single(own, layer) / rank, layer)
        alpha = self.patterns.find(layer, self.alpha)
        if alpha is None:
            return 1.0
        divisor = math.sqrt(rank) if self.rank_stabilised else rank
        return _checked(_number(alpha, f"that of {short(layer)}") / divisor, layer)


def read_scales(keys: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Scales:
    """Return what a file's metadata say about alpha.

    Raises:
        MotionFileError: The file does more than up @ down, keeps alpha in another file, or has one that is no number.
    """
    config = _adapter(metadata)
    for name, what in BEYOND.items():
        if config.get(name):
            raise MotionFileError(f"uses {what}, which is not supported. Expected weights with up and down alone.")
    entry = next((entry for entry in PLAIN if entry in metadata), None)
    if (any(key.startswith(BARE_PEFT) for key in keys) and not any(key.endswith(".alpha") for key in keys)
            and not config and entry is None):
        raise MotionFileError("is PEFT's own file, whose alpha stands in the adapter_config.json beside it. Write "
                              "lora_alpha of that file into the metadata of this one, or save the LoRA with diffusers' "
                              "save_lora_weights or save_lora_adapter.")
    if not config:
        return Scales(None if entry is None else _number(metadata[entry], entry), NamePatterns({}))
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, Mapping):
        raise MotionFileError(f"has metadata that cannot be read: alpha_pattern of {ADAPTER} is {short(patterns)}; "
                              "expected an object of numbers by name.")
    try:
        named = NamePatterns(patterns)
    except PatternError as error:
        raise MotionFileError(f"has metadata that cannot be read: in alpha_pattern of {ADAPTER}, {error}.") from error
    return Scales(_number(config.get("lora_alpha"), f"lora_alpha of {ADAPTER}"), named, bool(config.get("use_rslora")))


def _adapter(metadata: Mapping[str, str]) -> dict:
    """Return the UNet's part of diffusers' entry, without the network's name; empty where there is none."""
    if ADAPTER not in metadata:
        return {}
    try:
        config = json.loads(metadata[ADAPTER])
        own = {key.removeprefix(NETWORK): value for key, value in config.items() if key.startswith(NETWORK)}
    except (ValueError, AttributeError, RecursionError) as error:
        raise MotionFileError(f"has metadata that cannot be read: {ADAPTER} is no JSON object ({short(error)}). Save "
                              "the LoRA again.") from error
    return own or config


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or isinstance(value, bool):
        raise MotionFileError(f"has an alpha that is no number: {where} is {short(repr(value))}. Save the LoRA again, "
                              "with a number there.")
    return number


def _single(alpha: Tensor, layer: str) -> float:
    if alpha.numel() != 1:
        raise MotionFileError(f"has an alpha of the shape {tuple(alpha.shape)} for {short(layer)}; expected one "
                              "number.")
    if alpha.dtype is torch.bool or alpha.is_complex():
        raise MotionFileError(f"has an alpha of the type {alpha.dtype} for {short(layer)}; expected a number.")
    number = float(alpha.item())
    if not math.isfinite(number):
        raise MotionFileError(f"is a damaged motion LoRA: alpha of {short(layer)} is {number}.")
    return number


def _checked(scale: float, layer: str) -> float:
    if abs(scale) > LARGEST:
        raise MotionFileError(f"has an alpha that no weights can bear: {short(layer)} would be added {scale:.3g} "
                              f"times; expected at most {LARGEST:.0f}. Save the LoRA again.")
    return scale

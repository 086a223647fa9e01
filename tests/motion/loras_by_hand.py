"""Motion LoRAs of every format, put together by hand: the same pairs under each format's keys."""

from __future__ import annotations

import json

import torch
from torch import Tensor

RANK = 3
ATTENTION = "temporal_transformer.transformer_blocks.0.attention_blocks"
WHOLE = {"proj_in": "temporal_transformer.proj_in", "ff_in": "temporal_transformer.transformer_blocks.0.ff.net.0.proj",
         "ff_out": "temporal_transformer.transformer_blocks.0.ff.net.2"}
"""Layers that are not attention, in AnimateDiff's names."""


def pairs(shapes: dict[str, torch.Size], rank: int = RANK) -> dict[str, tuple[Tensor, Tensor]]:
    """Return (down, up) for every attention layer, and at two sites for others too, by AnimateDiff's names."""
    generator = torch.Generator().manual_seed(7)

    def pair(outputs: int, inputs: int) -> tuple[Tensor, Tensor]:
        return torch.randn(rank, inputs, generator=generator), torch.randn(outputs, rank, generator=generator)

    found = {}
    for key, shape in shapes.items():
        site, _, rest = key.partition(".attentions.")
        if rest.endswith("to_qkv.weight"):
            for part in "qkv":
                found[f"{site}.{ATTENTION}.{rest[0]}.to_{part}"] = pair(shape[1], shape[1])
        elif rest.endswith("to_out.weight"):
            found[f"{site}.{ATTENTION}.{rest[0]}.to_out.0"] = pair(*shape)
    for site in ("down_blocks.0.motion_modules.1", "up_blocks.3.motion_modules.2"):
        for ours, theirs in WHOLE.items():
            found[f"{site}.{theirs}"] = pair(*shapes[f"{site}.{ours}.weight"])
    return found


def attention_only(given: dict[str, tuple[Tensor, Tensor]]) -> dict[str, tuple[Tensor, Tensor]]:
    return {layer: pair for layer, pair in given.items() if "attention_blocks" in layer}


def animatediff(given: dict) -> dict[str, Tensor]:
    """AnimateDiff's own: to_out without its number."""
    tensors = {}
    for layer, (down, up) in given.items():
        block, _, last = layer.removesuffix(".0").rpartition(".")
        tensors |= {f"{block}.processor.{last}_lora.down.weight": down, f"{block}.processor.{last}_lora.up.weight": up}
    return tensors


def motion_director(given: dict) -> dict[str, Tensor]:
    """MotionDirector's: `processor` goes before the last name, whatever that is."""
    tensors = {}
    for layer, (down, up) in given.items():
        block, _, last = layer.rpartition(".")
        tensors |= {f"{block}.processor.{last}_lora.down.weight": down, f"{block}.processor.{last}_lora.up.weight": up}
    return tensors


def motion_director_plain(given: dict) -> dict[str, Tensor]:
    """MotionDirector's own names, from before the conversion."""
    return {f"{layer}.lora_{kind}.weight": tensor for layer, pair in given.items()
            for kind, tensor in zip(("down", "up"), pair, strict=True)}


def adapter_layer(layer: str) -> str:
    for theirs, diffusers in ((".temporal_transformer", ""), (".attention_blocks.0", ".attn1"),
                              (".attention_blocks.1", ".attn2")):
        layer = layer.replace(theirs, diffusers)
    return layer


def diffusers_old(given: dict) -> dict[str, Tensor]:
    """AnimateDiff's files as diffusers converts them."""
    return {f"unet.{adapter_layer(key)}": tensor for key, tensor in animatediff(given).items()}


def peft(given: dict, prefix: str = "unet.", adapter: str = "") -> dict[str, Tensor]:
    return {f"{prefix}{adapter_layer(layer)}.lora_{kind}{adapter}.weight": tensor for layer, pair in given.items()
            for kind, tensor in zip("AB", pair, strict=True)}


def kohya(given: dict, alpha: float | None = None) -> dict[str, Tensor]:
    tensors = {}
    for layer, (down, up) in given.items():
        name = "lora_unet_" + layer.replace(".", "_")
        tensors |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(alpha)
    return tensors


def adapter_metadata(prefix: str = "unet.", **config) -> dict[str, str]:
    """Return the metadata that diffusers saves."""
    config = {"r": RANK, "lora_alpha": RANK, "use_dora": False, "lora_bias": False, "use_rslora": False,
              "alpha_pattern": {}, "rank_pattern": {}} | config
    return {"format": "pt", "lora_adapter_metadata": json.dumps({prefix + key: v for key, v in config.items()})}


def added(given: dict, shapes: dict[str, torch.Size], scale: float = 1.0) -> dict[str, Tensor]:
    """Return scale * up @ down by the keys of MotionModule, zero in parts that are not changed."""
    sums = {}
    names = {f".{theirs}": f".{ours}" for ours, theirs in WHOLE.items()}
    for layer, (down, up) in given.items():
        site, _, rest = layer.partition(f".{ATTENTION}.")
        product = scale * up @ down
        if not rest:
            key = next(layer.replace(theirs, ours) for theirs, ours in names.items() if layer.endswith(theirs))
            sums[f"{key}.weight"] = product
        elif rest.endswith("to_out.0"):
            sums[f"{site}.attentions.{rest[0]}.to_out.weight"] = product
        else:
            key, part = f"{site}.attentions.{rest[0]}.to_qkv.weight", "qkv".index(rest[-1])
            whole = sums.setdefault(key, torch.zeros(shapes[key]))
            whole[part * len(product):(part + 1) * len(product)] = product
    return sums

"""Motion LoRAs: read every known format, and find the weights of a motion module that a LoRA changes.

A LoRA adds strength * scale * up @ down to a weight, with scale = alpha / rank (Hu et al. 2021). Known are the files of
AnimateDiff (Guo et al. 2023), of MotionDirector for AnimateDiff (Zhao et al. 2023), of diffusers, of PEFT, and with
kohya's keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Size, Tensor

from .checks import FLOATS, check_finite
from .containers import read_tensors
from .errors import AGAIN, MotionFileError, short, some
from .formats import (
    ANIMATEDIFF,
    CONTROL_LORA,
    LORA_KEY,
    MOTION_ADAPTER,
    TEMPORAL_KEY,
    find_foreign,
    find_layout,
    strip_prefixes,
)
from .lora_scale import Scales, read_scales

EXPECTED = "a LoRA of a motion module, as AnimateDiff, MotionDirector, diffusers or PEFT save it"
PREFIXES = re.compile(r"(?:module\.|base_model\.model\.|unet\.|diffusion_model\.|lora_unet_)*")
KINDS = (
    re.compile(r"(?P<layer>.+)_lora\.(?P<kind>down|up)\.weight"),
    re.compile(r"(?P<layer>.+)\.lora(?:_linear_layer)?\.(?P<kind>down|up)\.weight"),
    re.compile(r"(?P<layer>.+)\.lora_(?P<kind>down|up)\.weight"),
    re.compile(r"(?P<layer>.+)\.lora_(?P<kind>A|B)(?:\.\w+)?\.weight"),
    re.compile(r"(?P<layer>.+)\.(?P<kind>alpha)"),
)
"""A key without its prefixes: the layer that is changed, and which of its tensors this is."""
SAME_KIND = {"A": "down", "B": "up"}
MOST_LAYERS, LONGEST_NAME = 2048, 512
"""A module has some 300 layers, whose longest name has 120 characters."""


@dataclass(frozen=True)
class Pair:
    """What a LoRA adds to one layer: scale * up @ down."""

    down: Tensor
    """rank by inputs."""
    up: Tensor
    """outputs by rank."""
    scale: float
    """alpha / rank; 1 where the file has no alpha."""


@dataclass(frozen=True)
class MotionLora:
    """What a motion LoRA file holds."""

    name: str
    """The file, for messages."""
    pairs: dict[str, Pair]
    """By the layer's name in the file, without prefixes."""


@dataclass(frozen=True)
class Change:
    """Rows of a weight of MotionModule, and what is added to them."""

    key: str
    first_row: int
    pair: Pair


def read_motion_lora(path: str | Path, name: str | None = None) -> MotionLora:
    """Read a motion LoRA of any known format and container.

    Args:
        name: What messages call it, such as its path in a folder of many; the file's name by default.

    Raises:
        MotionFileError: It is something else, damaged or incomplete, or of a kind whose effect is more than up @ down.
    """
    path = Path(path)
    name = name or path.name
    try:
        tensors, metadata = read_tensors(path)
        _refuse_foreign({key: tensor.shape for key, tensor in tensors.items()})
        return MotionLora(name, _pairs(tensors, read_scales(tensors, metadata)))
    except MotionFileError as error:
        raise MotionFileError(f"{name} {error}") from error


def changes(lora: MotionLora, shapes: Mapping[str, Size]) -> list[Change]:
    """Return what a LoRA changes in a motion module.

    Args:
        shapes: Of the tensors of the module's state dict.

    Raises:
        MotionFileError: The module lacks a layer of the LoRA, or has one of another size.
    """
    places = _places(shapes)
    if missing := [layer for layer in lora.pairs if layer not in places]:
        advice = f"Expected {EXPECTED}."
        if all("mid_block" in layer for layer in missing):
            advice = "They are of the middle block, which AnimateDiff v2 and AnimateLCM have and v1 and v3 do not."
        raise MotionFileError(f"{lora.name} changes {len(missing)} layers that the motion module does not have, such "
                              f"as {some(missing)}. {advice}")
    found = []
    for layer, pair in lora.pairs.items():
        key, part, parts = places[layer]
        rows = shapes[key][0] // parts
        product = (len(pair.up), pair.down.shape[1])
        if product != (rows, shapes[key][1]):
            raise MotionFileError(f"{lora.name} does not fit the motion module: {layer} is {rows} by {shapes[key][1]} "
                                  f"there, the LoRA's is {product[0]} by {product[1]}. Use a LoRA made for modules of "
                                  "Stable Diffusion 1.5")
        found.append(Change(key, part * rows, pair))
    return found


def export(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a motion LoRA file in AnimateDiff's format (Guo et al. 2023), which has no alpha.

    Args:
        weights: `<layer>.down.weight`, rank by inputs, and `<layer>.up.weight`, outputs by rank, for layers of
            MotionModule's attention; their product is what is added.
    """
    tensors = {}
    for key, down in weights.items():
        layer, _, kind = key.partition(".down.")
        if not kind:
            continue
        names = ANIMATEDIFF.file_keys(f"{layer}.weight")
        # q, k and v are one layer here and three in the file: they share what goes down.
        for name, up in zip(names, weights[f"{layer}.up.weight"].chunk(len(names)), strict=True):
            name = name.removesuffix(".weight").removesuffix(".0").replace(".to_", ".processor.to_")
            tensors[f"{name}_lora.down.weight"], tensors[f"{name}_lora.up.weight"] = down.clone(), up.clone()
    return tensors


def _places(shapes: Mapping[str, Size]) -> dict[str, tuple[str, int, int]]:
    """Return where each layer lies by every name that files give it: the key, which of its parts, and how many."""
    found = {}
    for key, shape in shapes.items():
        if len(shape) != 2:
            continue
        for layout in (ANIMATEDIFF, MOTION_ADAPTER):
            names = [name.removesuffix(".weight") for name in layout.file_keys(key)]
            for part, name in enumerate(names):
                place = (key, part, len(names))
                # AnimateDiff calls the output layer's LoRA to_out_lora; kohya's keys have no dots.
                for alias in (name, name.removesuffix(".0")):
                    found[alias] = found[alias.replace(".", "_")] = place
    return found


def _pairs(tensors: Mapping[str, Tensor], scales: Scales) -> dict[str, Pair]:
    layers: dict[str, dict[str, Tensor]] = {}
    unknown = []
    for key, tensor in tensors.items():
        bare = PREFIXES.sub("", key, count=1)
        match = next(filter(None, (kind.fullmatch(bare) for kind in KINDS)), None)
        if match is None or not re.search(TEMPORAL_KEY, bare) or len(key) > LONGEST_NAME:
            unknown.append(key)
            continue
        layer, kind = match["layer"].replace(".processor.", "."), SAME_KIND.get(match["kind"], match["kind"])
        if kind in layers.setdefault(layer, {}):
            raise MotionFileError(f"has two tensors for one layer, the second one is {short(key)}. "
                                  f"Expected {EXPECTED}.")
        layers[layer][kind] = tensor
    if unknown:
        raise MotionFileError(f"holds {len(unknown)} of {len(tensors)} tensors that are not understood, such as "
                              f"{some(unknown)}. Expected {EXPECTED}, and nothing else.")
    if len(layers) > MOST_LAYERS:
        raise MotionFileError(f"is for {len(layers)} layers; a motion module has fewer than {MOST_LAYERS}. "
                              f"Expected {EXPECTED}.")
    return {layer: _pair(layer, parts, scales) for layer, parts in layers.items()}


def _pair(layer: str, parts: Mapping[str, Tensor], scales: Scales) -> Pair:
    if missing := {"down", "up"} - parts.keys():
        raise MotionFileError(f"is incomplete: {short(layer)} has no '{missing.pop()}' tensor. {AGAIN}")
    down, up = parts["down"], parts["up"]
    if not (down.ndim == up.ndim == 2 and len(down) == up.shape[1] > 0
            and {down.dtype, up.dtype} <= FLOATS):
        raise MotionFileError(f"has wrong tensors: down {tuple(down.shape)} ({down.dtype}) and up {tuple(up.shape)} "
                              f"({up.dtype}) of {short(layer)}; expected (rank, inputs) and (outputs, rank) of a "
                              f"floating-point type. {AGAIN}")
    check_finite({f"{layer}, down": down, f"{layer}, up": up}, "motion LoRA")
    return Pair(down, up, scales.of(layer, len(down), parts.get("alpha")))


def _refuse_foreign(shapes: Mapping[str, Size]) -> None:
    if CONTROL_LORA.matches(shapes) or not any(re.search(LORA_KEY, key) for key in shapes):
        if find_layout(strip_prefixes(shapes)):
            raise MotionFileError(f"is a motion module. Use Load Motion Module for it. Expected {EXPECTED}.")
        foreign = find_foreign(shapes)
        if foreign is not None:
            raise MotionFileError(f"seems to be {foreign.what}. {foreign.advice} Expected {EXPECTED}.")
        keys = f"it begins with the keys {some(shapes)}" if shapes else "it holds no named tensors"
        raise MotionFileError(f"is not recognised: {keys}. Expected {EXPECTED}.")
    if not any(re.search(TEMPORAL_KEY, key) for key in shapes):
        raise MotionFileError("is a LoRA of the image model. Move it to models/loras and use the LoRA loader, on the "
                              f"MODEL. Expected {EXPECTED}.")

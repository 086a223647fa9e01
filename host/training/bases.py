"""Further base models for the motion stage: LoRAs of styles on the MODEL, or the UNets of other checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import comfy.sd
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ...training.bases import Bases, bases_of
from ...training.fingerprint import digest
from ...training.origin import Origin
from ..patchers import weights_of
from ..weights import WeightsError, is_lora, load_checkpoint, read_lora
from .network import UNET
from .origins import of_patcher

FILES = (".safetensors", ".ckpt", ".pt")
"""What is taken of a folder."""
WITH_STRENGTH = re.compile(r"(.+?)\s*:\s*([-+]?[0-9]*\.?[0-9]+)")
MOST_STRENGTH = 10


@dataclass(frozen=True)
class Base:
    """One file, as the user names it."""

    path: Path
    strength: float = 1.0
    """Of a LoRA."""


def named_bases(lines: Iterable[str], find: Callable[[str], Path]) -> list[Base]:
    """Return the bases that lines name, NAME or NAME: STRENGTH each; a folder stands for all files in it.

    Args:
        find: The path of a file or folder by its name.

    Raises:
        ValueError: A strength is none that can be, or there is nothing in a folder.
    """
    found = []
    for line in filter(None, map(str.strip, lines)):
        name, strength = _parted(line)
        path = find(name)
        files = sorted(each for each in path.iterdir() if each.suffix in FILES) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"the folder of bases {name} holds no LoRA or checkpoint ({', '.join(FILES)})")
        found += [Base(file, strength) for file in files]
    return found


def _parted(line: str) -> tuple[str, float]:
    if (found := WITH_STRENGTH.fullmatch(line)) is None:
        return line, 1.0
    if not -MOST_STRENGTH <= float(found[2]) <= MOST_STRENGTH:
        raise ValueError(f"the base {found[1]} has the strength {found[2]}; expected -{MOST_STRENGTH} to "
                         f"{MOST_STRENGTH}, such as 0.8")
    return found[1], float(found[2])


def load_bases(model: ModelPatcher, bases: Sequence[Base]) -> list[ModelPatcher]:
    """Return the MODELs: a LoRA on a clone of the MODEL, or a checkpoint's own.

    Raises:
        ValueError: A file is neither of the two, or a LoRA changes nothing.
    """
    return [_loaded(model, base) for base in bases]


def _loaded(model: ModelPatcher, base: Base) -> ModelPatcher:
    if not is_lora(base.path):
        if base.strength != 1:
            raise WeightsError(f"the base {base.path.name} has the strength {base.strength:g}, and is no LoRA; leave "
                               "the strength of a checkpoint out")
        return load_checkpoint(base.path)[0]
    changed = comfy.sd.load_lora_for_models(model, None, read_lora(base.path), base.strength, 0.0)[0]
    before, after = (sum(map(len, patcher.patches.values())) for patcher in (model, changed))
    if after == before:
        raise WeightsError(f"the base {base.path.name} changes no layer of the MODEL. Give a LoRA for this kind of "
                           "model")
    return changed


def in_turn(network: nn.Module, bases: Sequence[ModelPatcher], precision: torch.dtype, seed: int) -> Bases | None:
    """Return the weights of a network of our own, a Trainable, and of further MODELs, for a stage to change between."""
    if not bases:
        return None
    own = dict(network.get_submodule("unet").named_parameters())

    def weights() -> Iterator[dict[str, Tensor]]:
        # One after the other: each is whole, until only what differs is kept of it.
        for base in bases:
            # As the network's own weights are kept: vectors in float32.
            yield {key: weight.to(precision if weight.ndim > 1 else torch.float32)
                   for key, weight in weights_of(base, UNET).items()}

    return bases_of(own, weights(), seed)


def with_bases(origin: Origin, bases: Sequence[ModelPatcher]) -> Origin:
    """Return the origin with what the bases are, in their order."""
    return origin.and_contents(bases=digest([of_patcher(base, UNET) for base in bases])) if bases else origin

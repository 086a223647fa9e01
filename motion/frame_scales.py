"""Numbers that change what a motion module does from frame to frame, and LoRAs whose strength is one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class FrameScales:
    """Factors in one call of a motion module, as its sites take them."""

    attention: float | Tensor = 1.0
    """On the keys of the attention, and so on the logits of softmax, as the scale of AnimateDiff-Evolved: a number, or
    f 1 h w or what broadcasts to it, one for each frame that is looked at. At 0 all frames are averaged, above 1
    attention is sharper than trained."""
    loras: tuple[Tensor, ...] = ()
    """The strengths of the LoRAs in the network, each f 1 or 1 1."""

    def of_rows(self, num_frames: int, clips: int, places: int) -> FrameScales:
        """Return them for rows (b h w) f c, where the attention's is a number or (b h w) f 1."""
        if not isinstance(self.attention, Tensor):
            return self
        # f 1 h w -> (b h w) f 1
        rows = self.attention.flatten(2).expand(num_frames, 1, places).permute(2, 0, 1).repeat(clips, 1, 1)
        return FrameScales(rows, self.loras)

    def split(self, size: int, parts: int) -> Iterable[FrameScales]:
        """Return those of each part of the rows."""
        if not isinstance(self.attention, Tensor):
            return [self] * parts
        return [FrameScales(part, self.loras) for part in self.attention.split(size)]


UNCHANGED = FrameScales()


@dataclass(frozen=True)
class Slot:
    """The place of one pair of a LoRA in a motion module."""

    layer: str
    """Name of the linear layer, such as mid_block.motion_modules.0.attentions.0.to_qkv."""
    first_row: int
    rows: int
    """Of the layer's outputs, those that the pair adds to."""
    rank: int
    lora: int
    """Which of FrameScales.loras is its strength."""


class LowRank(nn.Module):
    """What a LoRA adds to some outputs of a linear layer (Hu et al. 2021), beside the layer."""

    def __init__(self, slot: Slot, width: int, ops: Any = nn, dtype: torch.dtype | None = None,
                 device: torch.device | None = None) -> None:
        super().__init__()
        at: dict[str, Any] = {"bias": False, "dtype": dtype, "device": device}
        self.lora, self.first_row, self.rows = slot.lora, slot.first_row, slot.rows
        self.down = ops.Linear(width, slot.rank, **at)
        self.up = ops.Linear(slot.rank, slot.rows, **at)

    def forward(self, h: Tensor, out: Tensor, scales: FrameScales) -> Tensor:
        """Return the layer's output with the LoRA's, which differs by the frame; h and out are rows (b h w) f c."""
        added = self.up(self.down(h)) * scales.loras[self.lora].to(h)
        if self.rows == out.shape[-1]:
            return out + added
        before, after = self.first_row, out.shape[-1] - self.first_row - self.rows
        return out + nn.functional.pad(added, (before, after))


def add_slots(network: nn.Module, slots: Iterable[Slot], ops: Any = nn, dtype: torch.dtype | None = None,
              device: torch.device | None = None) -> list[str]:
    """Put layers for LoRAs into a motion module, and return the prefix of each one's weights."""
    prefixes = []
    for slot in slots:
        owner, _, name = slot.layer.rpartition(".")
        # Modules do not say what they hold.
        site: Any = network.get_submodule(owner)
        layer: Any = network.get_submodule(slot.layer)
        if name not in site.loras:
            site.loras[name] = nn.ModuleList()
        prefixes.append(f"{owner}.loras.{name}.{len(site.loras[name])}.")
        site.loras[name].append(LowRank(slot, layer.weight.shape[1], ops, dtype, device))
    return prefixes


def apply_layer(owner: nn.Module, name: str, h: Tensor, scales: FrameScales) -> Tensor:
    """Run a linear layer of a site on rows (b h w) f c, with the LoRAs that are beside it."""
    out = getattr(owner, name)(h)
    loras: Any = owner.loras
    if name in loras:
        for lora in loras[name]:
            out = lora(h, out, scales)
    return out

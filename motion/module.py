"""The temporal network: a transformer over time after every spatial block of the UNet (Guo et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .frame_scales import UNCHANGED, FrameScales, Slot, add_slots, apply_layer

DOWN_SITES, UP_SITES = 2, 3
"""Sites in a level on the way down and on the way up: one after each resnet."""


WIDEST = {"cpu": 2**24, "cuda": 2**29}
"""Bytes of the widest layer of the rows that run together. On a CPU a larger block is given back to the system and
cleared anew at every call, which costs more than the matrix product that fills it; on a GPU it bounds the memory."""
MOST_ROWS = 2**15
"""Some attention kernels take no more than 65,535 sequences at a time."""


@dataclass(frozen=True)
class MotionConfig:
    """The shape of a motion module."""

    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    """Channels of each UNet level, from the finest to the deepest."""
    mid_block: bool = True
    """Whether there is a site in the middle block; AnimateDiff v1 and v3 have none."""
    heads: int = 8
    """Attention heads at every site."""
    max_frames: int = 64
    """The most frames that the position encoding knows."""

    def __post_init__(self) -> None:
        if self.heads < 1:
            raise ValueError(f"heads is {self.heads}; attention needs at least 1")
        for channels in self.channels:
            if channels % 32 or channels % self.heads:
                raise ValueError(f"{channels} channels do not divide into 32 groups and {self.heads} heads")
        if self.max_frames < 1:
            raise ValueError(f"max_frames is {self.max_frames}; a clip has at least 1 frame")


class MotionModule(nn.Module):
    """All temporal transformers of one UNet.

    `ops` gives the layer classes: torch.nn, or the host's operations, which cast weights as they are used.
    """

    def __init__(self, config: MotionConfig, ops: Any = nn, dtype: torch.dtype | None = None,
                 device: torch.device | None = None) -> None:
        super().__init__()
        self.config = config

        def level(channels: int, sites: int) -> nn.Module:
            block = nn.Module()
            block.motion_modules = nn.ModuleList(
                TemporalTransformer(channels, config.heads, config.max_frames, ops, dtype, device)
                for _ in range(sites))
            return block

        self.down_blocks = nn.ModuleList(level(channels, DOWN_SITES) for channels in config.channels)
        self.mid_block = level(config.channels[-1], 1) if config.mid_block else None
        self.up_blocks = nn.ModuleList(level(channels, UP_SITES) for channels in reversed(config.channels))

    def attend_in_products(self) -> None:
        """Attend in plain products from now on, as training does on a CPU.

        The way back of the fused kernel takes eight times as long there for 16 frames, and the way forth no longer.
        """
        for module in self.modules():
            if isinstance(module, TemporalAttention):
                module.fused = False

    def set_positions(self, tables: dict[int, Tensor]) -> None:
        """Replace the sinusoid by a file's own tables, (max_frames, channels), at the sites of the channels given."""
        for module in self.modules():
            if isinstance(module, TemporalAttention) and module.positions.shape[1] in tables:
                module.positions.copy_(tables[module.positions.shape[1]])

    def activation_bytes(self, num_frames: int, places: int, item_size: int, device: str) -> int:
        """Return the most bytes that a site holds beside the UNet's own features.

        Args:
            num_frames: Frames of a clip.
            places: Latent pixels of a frame times clips, (b h w).
            item_size: Bytes of a number in the UNet's precision.
        """
        channels = self.config.channels[0]
        row = num_frames * channels * item_size
        # Normalised features, their copy in the other layout, and the sum; then the rows that run together, at the
        # feed-forward layer: their features, its 8 c channels, and the 4 c that the gate makes.
        together = min(places, rows_at_once(num_frames, channels, item_size, device))
        return 3 * places * row + together * 13 * row

    def sites(self) -> dict[tuple[str, int], TemporalTransformer]:
        """Return every site by the UNet block that it follows, in the host's names: ("input", 1), ("middle", 0), ..."""
        found = {("input", (DOWN_SITES + 1) * b + j + 1): site
                 for b, level in enumerate(self.down_blocks) for j, site in enumerate(_sites(level))}
        if self.mid_block is not None:
            found["middle", 0] = next(_sites(self.mid_block))
        return found | {("output", UP_SITES * b + j): site
                        for b, level in enumerate(self.up_blocks) for j, site in enumerate(_sites(level))}


def network_of(config: MotionConfig, slots: Iterable[Slot], **layers: Any) -> MotionModule:
    """Return a new motion module with places for LoRAs.

    Args:
        layers: ops, dtype and device.
    """
    network = MotionModule(config, **layers)
    add_slots(network, slots, **layers)
    return network


def _sites(level: nn.Module) -> Iterator[TemporalTransformer]:
    # ModuleList does not say what it holds.
    return iter(cast("Iterable[TemporalTransformer]", level.motion_modules))


class TemporalTransformer(nn.Module):
    """Attend over the frames of each clip, at each place of the image on its own.

    With `proj_out` at zero it is the identity, which is how training starts (`reset_output`).
    """

    def __init__(self, channels: int, heads: int, max_frames: int, ops: Any = nn,
                 dtype: torch.dtype | None = None, device: torch.device | None = None) -> None:
        super().__init__()
        at: dict[str, Any] = {"dtype": dtype, "device": device}
        self.norm = ops.GroupNorm(32, channels, eps=1e-6, **at)
        self.proj_in = ops.Linear(channels, channels, **at)
        self.attentions = nn.ModuleList(TemporalAttention(channels, heads, max_frames, ops, **at) for _ in range(2))
        self.ff_norm = ops.LayerNorm(channels, **at)
        self.ff_in = ops.Linear(channels, 8 * channels, **at)
        self.ff_out = ops.Linear(4 * channels, channels, **at)
        self.proj_out = ops.Linear(channels, channels, **at)
        self.loras = nn.ModuleDict()

    def reset_output(self) -> None:
        """Make this site the identity."""
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Tensor, num_frames: int, strength: float | Tensor = 1.0, scales: FrameScales = UNCHANGED
                ) -> Tensor:
        """Return `x` plus `strength` times what time adds to it.

        Args:
            x: Features of whole clips, (b f) c h w.
            num_frames: f, the frames of a clip.
            strength: Factor on the module's contribution, a number or f 1 h w, or what broadcasts to it; 1 is as
                trained.
            scales: What else changes from frame to frame.
        """
        frames, channels, height, width = x.shape
        clips = frames // num_frames
        # The one layout change on the way in, (b f) c h w -> (b h w) f c. It is made contiguous, since strided rows
        # halve the speed of every matrix product that follows.
        h = self.norm(x).view(clips, num_frames, channels, height * width).permute(0, 3, 1, 2).contiguous()
        h = self._rows_in_parts(h.view(clips * height * width, num_frames, channels),
                                scales.of_rows(num_frames, clips, height * width))
        # The one on the way out is read in place by the addition.
        h = h.view(clips, height * width, num_frames, channels).permute(0, 2, 3, 1)
        x = x.view(clips, num_frames, channels, height * width)
        if isinstance(strength, Tensor):
            return torch.addcmul(x, h, strength.flatten(2)).view(frames, channels, height, width)
        return torch.add(x, h, alpha=strength).view(frames, channels, height, width)

    def _rows_in_parts(self, h: Tensor, scales: FrameScales) -> Tensor:
        """Run `rows` on few enough at a time to keep its widest layer small; may overwrite `h` without autograd."""
        _, frames, channels = h.shape
        size = rows_at_once(frames, channels, h.element_size(), h.device.type)
        if len(h) <= size:
            return self.rows(h, scales)
        parts = h.split(size)
        both = zip(parts, scales.split(size, len(parts)), strict=True)
        # Compiled, the parts' last products write where they are joined, and a copy would be one pass more.
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return torch.cat([self.rows(part, of_part) for part, of_part in both])
        for part, of_part in both:
            part.copy_(self.rows(part, of_part))
        return h

    def rows(self, h: Tensor, scales: FrameScales = UNCHANGED) -> Tensor:
        """Run the transformer on rows (b h w) f c; rows do not see each other."""
        h = apply_layer(self, "proj_in", h, scales)
        for attention in self.attentions:
            h = _add(h, attention(h, scales))
        value, gate = apply_layer(self, "ff_in", self.ff_norm(h), scales).chunk(2, dim=-1)
        h = _add(h, apply_layer(self, "ff_out", _multiply(F.gelu(gate), value), scales))
        return apply_layer(self, "proj_out", h, scales)


class TemporalAttention(nn.Module):
    """Self-attention over time, with sinusoidal positions."""

    positions: Tensor
    """Position table, (max_frames, channels)."""

    def __init__(self, channels: int, heads: int, max_frames: int, ops: Any = nn,
                 dtype: torch.dtype | None = None, device: torch.device | None = None) -> None:
        super().__init__()
        self.heads, self.fused = heads, True
        self.norm = ops.LayerNorm(channels, dtype=dtype, device=device)
        self.to_qkv = ops.Linear(channels, 3 * channels, bias=False, dtype=dtype, device=device)
        self.to_out = ops.Linear(channels, channels, dtype=dtype, device=device)
        self.loras = nn.ModuleDict()
        self.register_buffer("positions", sinusoid(max_frames, channels).to(device), persistent=False)

    def forward(self, h: Tensor, scales: FrameScales = UNCHANGED) -> Tensor:
        """Return the update of rows (b h w) f c, without the residual."""
        rows, frames, channels = h.shape
        h = _add(self.norm(h), self.positions[:frames].to(h))
        # (r, f, 3 n d) -> three of (r, n, f, d), as views
        qkv = apply_layer(self, "to_qkv", h, scales)
        q, k, v = qkv.view(rows, frames, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        h = self._attend(q, k, v, scales.attention)
        return apply_layer(self, "to_out", h.transpose(1, 2).reshape(rows, frames, channels), scales)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float | Tensor) -> Tensor:
        """Attend with the keys times `scale`, a number or (b h w) f 1; all others are (b h w) n f d."""
        if isinstance(scale, Tensor):
            k, scale = k * scale.unsqueeze(1), 1.0
        if not self.fused:
            weights = (q * (scale / math.sqrt(q.shape[-1]))) @ k.transpose(-1, -2)
            return weights.softmax(-1).to(v.dtype) @ v
        # A number costs no pass over the keys, and 1 gives the same bits as none.
        return F.scaled_dot_product_attention(q, k, v, scale=None if scale == 1 else scale / math.sqrt(q.shape[-1]))


def sinusoid(length: int, channels: int) -> Tensor:
    """Return the position encoding (Vaswani et al. 2017), (length, channels): sine at even channels, cosine at odd."""
    position = torch.arange(length).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, channels, 2) * (-math.log(10000.0) / channels))
    table = torch.empty(length, channels)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table


def rows_at_once(num_frames: int, channels: int, item_size: int, device: str) -> int:
    """Return how many rows run together, so that the feed-forward layer's 8 c channels stay within WIDEST bytes."""
    return max(1, min(MOST_ROWS, WIDEST.get(device, WIDEST["cuda"]) // (num_frames * 8 * channels * item_size)))


def _add(a: Tensor, b: Tensor) -> Tensor:
    """Return a + b, in a's memory unless autograd needs that."""
    return a + b if torch.is_grad_enabled() else a.add_(b)


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    """Return a * b, in a's memory unless autograd needs that."""
    return a * b if torch.is_grad_enabled() else a.mul_(b)

"""What runs after each block of the UNet in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as F

from ..motion.frame_scales import UNCHANGED, FrameScales
from ..motion.module import MotionModule
from .inserts import AfterBlock, Block


def sites_of(networks: list[MotionModule], strengths: list[float | Tensor], inserts: list[dict[Block, AfterBlock]],
             scales: list[FrameScales] | None = None) -> dict[Block, list[AfterBlock]]:
    """Return what runs after each block: module after module, each with what is inserted before it.

    Args:
        strengths: Factor on what each module adds, a number or f 1 h w of any height and width. Of a module where it
            is the number 0 only what is inserted runs.
        scales: What else changes from frame to frame in each module; nothing by default.
    """
    sites: dict[Block, list[AfterBlock]] = {}
    scales = scales or [UNCHANGED] * len(networks)
    for network, strength, insert, of_network in zip(networks, strengths, inserts, scales, strict=True):
        acts = isinstance(strength, Tensor) or strength != 0
        own: dict[Block, AfterBlock] = {}
        if acts:
            own = {block: _Site(site, strength, of_network) for block, site in network.sites().items()}
        for block, call in (*insert.items(), *own.items()):
            sites.setdefault(block, []).append(call)
    return sites


@dataclass(frozen=True)
class _Site:
    transformer: Callable[[Tensor, int, float | Tensor, FrameScales], Tensor]
    strength: float | Tensor
    scales: FrameScales

    def __call__(self, x: Tensor, num_frames: int) -> Tensor:
        scales = self.scales
        if isinstance(scales.attention, Tensor):
            scales = replace(scales, attention=_scaled_to(x, scales.attention))
        strength = _scaled_to(x, self.strength) if isinstance(self.strength, Tensor) else self.strength
        return self.transformer(x, num_frames, strength, scales)


def _scaled_to(x: Tensor, factor: Tensor) -> Tensor:
    """Return a factor f 1 h w in the size and type of features."""
    if factor.shape[-2:] not in ((1, 1), x.shape[-2:]):
        factor = F.interpolate(factor, x.shape[-2:], mode="area")
    return factor.to(x.dtype)

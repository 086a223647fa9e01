"""What runs after each block of the UNet in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from ..motion.module import MotionModule
from .inserts import AfterBlock, Block


def sites_of(networks: list[MotionModule], strengths: list[float | Tensor], inserts: list[dict[Block, AfterBlock]]
             ) -> dict[Block, list[AfterBlock]]:
    """Return what runs after each block: module after module, each with what is inserted before it.

    Args:
        strengths: Factor on what each module adds, a number or f 1 h w of any height and width. Of a module where it
            is the number 0 only what is inserted runs.
    """
    sites: dict[Block, list[AfterBlock]] = {}
    for network, strength, insert in zip(networks, strengths, inserts, strict=True):
        acts = isinstance(strength, Tensor) or strength != 0
        own: dict[Block, AfterBlock] = {}
        if acts:
            own = {block: _Site(site, strength) for block, site in network.sites().items()}
        for block, call in (*insert.items(), *own.items()):
            sites.setdefault(block, []).append(call)
    return sites


@dataclass(frozen=True)
class _Site:
    transformer: Callable[[Tensor, int, float | Tensor], Tensor]
    strength: float | Tensor

    def __call__(self, x: Tensor, num_frames: int) -> Tensor:
        strength = self.strength
        if isinstance(strength, Tensor):
            if strength.shape[-2:] not in ((1, 1), x.shape[-2:]):
                strength = F.interpolate(strength, x.shape[-2:], mode="area")
            strength = strength.to(x.dtype)
        return self.transformer(x, num_frames, strength)

"""What may change the UNet's features right before a motion module does, such as a reference image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from comfy.model_base import BaseModel
from torch import Tensor

Block = tuple[str, int]
"""A block of the UNet in the host's names: ("input", 1), ("middle", 0), ("output", 11)."""

AfterBlock = Callable[[Tensor, int], Tensor]
"""What runs on a block's features, (b f) c h w, given the frames f of a clip."""


class Insert(Protocol):
    """One such change. It lives as long as its MODEL: what belongs to one run or call arrives by argument."""

    def sites(self, base: BaseModel, x: Tensor, num_frames: int, options: dict) -> dict[Block, AfterBlock]:
        """Return what runs after which block in one call of the UNet.

        Args:
            x: The call's input, (b f) 4 h w.
            num_frames: f, the frames of a clip: of the whole video, or of one context window.
            options: The call's transformer_options.
        """

    def kept_bytes(self, num_frames: int, pixels: int, item_size: int) -> int:
        """Return the bytes that a run keeps.

        Args:
            num_frames: Frames of a clip.
            pixels: Latent pixels of a frame.
            item_size: Bytes of a number in the UNet's precision.
        """

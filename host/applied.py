"""A motion module on a MODEL, and what of it changes over the frames of a run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Size, Tensor

from ..motion.frame_scales import FrameScales
from .controls import Factor, StrengthControl, attention_scale_in
from .inserts import Insert


@dataclass(frozen=True)
class Applied:
    """A motion module on a MODEL."""

    network: str
    """The name of its weights among the additional models."""
    strength: float = 1.0
    """Factor on what the module adds."""
    insert: Insert | None = None
    """What else changes the features, before the module does."""
    controls: tuple[StrengthControl, ...] = ()
    """When and where it acts, and how strongly."""
    loras: tuple[Factor, ...] = ()
    """Strengths of the LoRAs that change over the frames."""

    def check(self, video: Size) -> None:
        """Check that what changes over the frames belongs to a video of latents f 4 h w.

        Raises:
            ValueError: It does not.
        """
        for control in self.controls:
            control.check(video)
        for strength in self.loras:
            strength.check(video[0])

    def scales(self, x: Tensor, num_frames: int, options: dict) -> FrameScales:
        """Return what changes over the frames in one call of the UNet, beside the strength."""
        strengths = (torch.as_tensor(lora.in_call(x, num_frames, options)) for lora in self.loras)
        return FrameScales(attention_scale_in(x, self.controls, num_frames, options),
                           tuple(strength.to(x.device).view(-1, 1) for strength in strengths))

"""A SAMPLER that computes a part of the video in each call of the UNet, and the frames of a call at different noise.

The host has context windows for calls with a part of the video: what it and the packs for AnimateDiff do for a window's
frames, they do for these.
"""

from __future__ import annotations

from collections.abc import Callable

import comfy.samplers
from comfy.context_windows import IndexListContextHandler, IndexListContextWindow
from comfy.model_base import BaseModel
from comfy.samplers import CFGGuider
from torch import Size, Tensor


class PartSampler(comfy.samplers.Sampler):
    """What the start of a run has to know of such a SAMPLER; under this class in the transformer_options of the run."""

    @property
    def frames_per_call(self) -> int:
        """Return the most frames that a call has."""
        raise NotImplementedError

    def video(self, latents: Size) -> Size:
        """Return the shape of the video, f 4 h w, where the run is given latents of a shape."""
        raise NotImplementedError

    def check(self, guider: CFGGuider, sigmas: Tensor) -> None:
        """Check that MODEL and noise levels suit the SAMPLER.

        Raises:
            ValueError: They do not.
        """
        raise NotImplementedError


def video_of(sampler: comfy.samplers.Sampler, latents: Size) -> Size:
    """Return the shape of the video, f 4 h w, that a run makes whose latents have a shape."""
    return sampler.video(latents) if isinstance(sampler, PartSampler) else latents


class Part(IndexListContextWindow):
    """The frames of one call, as the host's context window."""


Complete = Callable[[BaseModel, list[list[dict] | None], Tensor], list[list[dict] | None]]
"""Adds to the conditionings of a call what cannot be cut, from (model, conds, x)."""


class PartHandler(IndexListContextHandler):
    """A context handler for one call whose latents are those of a part already: it cuts the conditionings only."""

    def __init__(self, frames: list[int], total_frames: int, complete: Complete | None = None) -> None:
        super().__init__(None, None, context_length=len(frames))
        self.part = Part(frames, dim=0, total_frames=total_frames)
        self.complete = complete

    def should_use_context(self, *args, **kwargs) -> bool:
        """Say that this is a window, also where it is the whole video."""
        return True

    def execute(self, calc_cond_batch: Callable, model: BaseModel, conds: list[list[dict] | None], x_in: Tensor,
                timestep: Tensor, model_options: dict) -> list[Tensor]:
        """Return what the UNet makes of the part under each of the conditionings."""
        self._model = model
        # The host compares the number of frames alone; this has them without their memory.
        video = x_in[:1].expand(self.part.total_frames, *x_in.shape[1:])
        cut = [self.get_resized_cond(cond, video, self.part) for cond in conds]
        if self.complete is not None:
            cut = self.complete(model, cut, x_in)
        options = model_options.get("transformer_options", {}) | {"context_window": self.part}
        return calc_cond_batch(model, cut, x_in, timestep, model_options | {"transformer_options": options})

"""Training data as the host's dataset nodes give them."""

from __future__ import annotations

from dataclasses import dataclass

import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..training.config import TrainingConfig
from ..training.draws import Source
from ..training.fingerprint import digest, of_tensors
from ..training.latents import LatentSource, join
from ..training.origin import Origin


@dataclass(frozen=True)
class Data:
    """What the host's dataset nodes give."""

    latents: list[dict]
    """LATENTs: a clip, or images, each."""
    positive: list
    """CONDITIONINGs: the encoded caption of each."""
    negative: list
    """CONDITIONING of the empty caption."""
    hints: list[Tensor] | None = None
    """IMAGEs for a ControlNet: what the frames of each show of what it follows."""

    def source(self, model: ModelPatcher, config: TrainingConfig, device: torch.device) -> Source:
        """Return the batches of a run.

        Raises:
            ValueError: The latents, their captions and hints do not go together.
        """
        latent_format = model.get_model_object("latent_format")
        latents = [latent_format.process_in(item["samples"].clone()) for item in self.latents]
        conditions = {}
        if self.hints is not None:
            conditions["hint"] = _fitted(self.hints, latents, latent_format.spacial_downscale_ratio)
        return LatentSource(latents, [_context(item) for item in self.positive], config, device, conditions)

    def empty(self) -> Tensor:
        """Return the encoded empty caption, 1 n d."""
        return join([_context(self.negative)])

    def origin(self) -> Origin:
        """Return what the batches of a run are made from: all that is in the lists, in their order."""
        lists = ([item["samples"] for item in self.latents],
                 [_context(item) for item in (*self.positive, self.negative)], self.hints or [])
        return Origin().and_contents(data=digest(*(
            of_tensors({f"{number:09}": tensor for number, tensor in enumerate(tensors)}) for tensors in lists)))


def _context(conditioning: list) -> Tensor:
    """Return the encoded caption, n d, of a CONDITIONING."""
    return conditioning[0][0][0].clone()


def _fitted(hints: list[Tensor], latents: list[Tensor], ratio: int) -> list[Tensor]:
    """Return the IMAGEs as f 3 h w, cut and scaled to the pixels of their latents as the host does when it samples."""
    if len(hints) != len(latents):
        raise ValueError(f"there are {len(hints)} hints and {len(latents)} clips; expected a hint video for each clip, "
                         "in the same order")
    fitted = []
    for hint, clip in zip(hints, latents, strict=True):
        height, width = (ratio * side for side in clip.shape[2:])
        image = hint[..., :3].movedim(-1, 1)
        same = image.shape[2:] == (height, width)
        fitted.append(image if same else comfy.utils.common_upscale(image, width, height, "nearest-exact", "center"))
    return fitted

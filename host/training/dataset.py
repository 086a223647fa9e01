"""Training data as the host's dataset nodes give them."""

from __future__ import annotations

from dataclasses import dataclass

import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...training.config import TrainingConfig
from ...training.draws import Source
from ...training.fingerprint import digest, of_tensors
from ...training.finite import is_finite
from ...training.latents import LatentSource, join
from ...training.origin import Origin


@dataclass(frozen=True)
class NodeData:
    """Data as the host's dataset nodes give them."""

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
        latent_format, width = model.get_model_object("latent_format"), _context_width(model)
        latents = [latent_format.process_in(_samples(item, f"clip {number}", latent_format.latent_channels))
                   for number, item in enumerate(self.latents, 1)]
        contexts = [_context(item, f"the caption of clip {number}", width)
                    for number, item in enumerate(self.positive, 1)]
        if not is_finite(_context(self.negative, "the empty caption", width)):
            raise ValueError("the empty caption holds nan or infinite numbers, from which nothing can be learnt; "
                             "encode an empty text with the CLIP of the same checkpoint")
        conditions = {}
        if self.hints is not None:
            conditions["hint"] = _fitted(self.hints, latents, latent_format.spacial_downscale_ratio)
        return LatentSource(latents, contexts, config, device, conditions)

    def empty(self) -> Tensor:
        """Return the encoded empty caption, 1 n d."""
        return join([_context(self.negative, "the empty caption")])

    def origin(self) -> Origin:
        """Return what the batches of a run are made from: all that is in the lists, in their order."""
        lists = ([item["samples"] for item in self.latents],
                 [_context(item, "a caption") for item in (*self.positive, self.negative)], self.hints or [])
        return Origin().and_contents(data=digest(*(
            of_tensors({f"{number:09}": tensor for number, tensor in enumerate(tensors)}) for tensors in lists)))


def _samples(latent: dict, what: str, channels: int) -> Tensor:
    """Return a copy of the latents, f c h w, of a LATENT."""
    samples = latent["samples"]
    if samples.ndim != 4 or samples.shape[1] != channels or 0 in samples.shape:
        raise ValueError(f"{what} has latents of the shape {tuple(samples.shape)}; training takes (frames, {channels}, "
                         "height, width). Encode it with the VAE of a Stable Diffusion 1.5 checkpoint")
    return samples.clone()


def _context(conditioning: list, what: str, width: int | None = None) -> Tensor:
    """Return the encoded caption, n d, of a CONDITIONING; `width` is the d that the MODEL takes, where known."""
    if not conditioning or conditioning[0][0].ndim != 3 or 0 in conditioning[0][0].shape:
        raise ValueError(f"{what} is not encoded; use CLIP Text Encode, or Make Training Dataset")
    context = conditioning[0][0][0].clone()
    if width is not None and context.shape[1] != width:
        raise ValueError(f"{what} was encoded for another model: it has {context.shape[1]} channels, and this MODEL "
                         f"takes {width}. Use the CLIP of the same checkpoint")
    return context


def _context_width(model: ModelPatcher) -> int | None:
    """Return the channels of the captions that a MODEL takes, where it says so."""
    return model.model.model_config.unet_config.get("context_dim")


def _fitted(hints: list[Tensor], latents: list[Tensor], ratio: int) -> list[Tensor]:
    """Return the IMAGEs as f 3 h w, cut and scaled to the pixels of their latents as the host does when it samples."""
    if len(hints) != len(latents):
        raise ValueError(f"there are {len(hints)} hints and {len(latents)} clips; expected a hint video for each clip, "
                         "in the same order")
    fitted = []
    for hint, clip in zip(hints, latents, strict=True):
        height, width = (ratio * side for side in clip.shape[2:])
        if hint.ndim != 4 or hint.shape[3] < 3:
            raise ValueError(f"a hint has the shape {tuple(hint.shape)}; expected an IMAGE, (frames, height, width, 3)")
        image = hint[..., :3].movedim(-1, 1)
        same = image.shape[2:] == (height, width)
        fitted.append(image if same else comfy.utils.common_upscale(image, width, height, "nearest-exact", "center"))
    return fitted

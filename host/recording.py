"""Sample a video, decode it and write it, a few frames at a time: it needs the memory of a window at any length."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import comfy.model_management
import comfy.utils
import latent_preview
import torch
from comfy.samplers import CFGGuider
from comfy.sd import VAE
from PIL import Image
from torch import Tensor

from .rolling import Recording, RollingSampler
from .video_file import Target, VideoFile


@dataclass(frozen=True)
class Request:
    """What is sampled."""

    guider: CFGGuider
    sampler: RollingSampler
    sigmas: Tensor
    latent: dict
    """The host's LATENT: empty frames of the video's size, or a video to change."""
    num_frames: int
    seed: int


@dataclass(frozen=True)
class Saved:
    """A written video."""

    path: Path
    subfolder: str
    """Below the host's output folder."""
    summary: str
    """For the node to show."""


def record(request: Request, vae: VAE, target: Target) -> Saved:
    """Write a video while it is sampled, and return its file.

    After an interrupt or an error the file is there, with the frames that were finished.

    Raises:
        ValueError: The sampler is another one, there are no steps, or the latents are too few or too many.
    """
    latents, masks = _inputs(request)
    recorder = _Recorder(request, vae, target)
    sampler = replace(request.sampler, recording=Recording(request.num_frames, recorder.take))
    # Only its shape matters: noise is made as it is asked for.
    noise = latents.new_zeros(min(request.num_frames, sampler.frames_per_call), *latents.shape[1:])
    try:
        request.guider.sample(
            noise, latents, sampler, request.sigmas, denoise_mask=masks, callback=recorder.report,
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED, seed=request.seed)
    except BaseException:
        # An interrupt is no Exception.
        recorder.close("broke off")
        raise
    return recorder.close("done")


def _inputs(request: Request) -> tuple[Tensor, Tensor | None]:
    """Return latents, of one frame for all or of each, and noise masks."""
    if not isinstance(request.sampler, RollingSampler):
        raise ValueError("Record Video writes frames while others are still sampled, which only the Rolling Sampler "
                         "does. Connect that, or use VAE Decode and Save Video after another sampler")
    if len(request.sigmas) < 2:
        raise ValueError("SIGMAS have no steps, so nothing would be sampled. Set denoise of the scheduler above 0")
    latents, masks = request.latent["samples"], request.latent.get("noise_mask")
    if torch.count_nonzero(latents):
        if len(latents) != request.num_frames:
            raise ValueError(f"num_frames is {request.num_frames}, but the latent is a video of {len(latents)} frames. "
                             "Set num_frames to that, or connect Empty Latent Image for a new video")
        return latents, masks
    if masks is not None:
        raise ValueError("the latent is empty but has noise masks, which keep what is in it. Connect the latents of a "
                         "video, one for each frame, or take the masks off")
    return latents[:1], None


class _Recorder:
    """Takes finished frames to the file, and what is seen of them to the web page."""

    def __init__(self, request: Request, vae: VAE, target: Target) -> None:
        self._request, self._vae, self._target = request, vae, target
        self._file: VideoFile | None = None
        self._bar = comfy.utils.ProgressBar(1)
        self._preview: tuple | None = None

    def report(self, step: int, x0: Tensor, x: Tensor, total: int) -> None:
        """Show the progress, with the newest frame once."""
        self._bar.update_absolute(step + 1, total, self._preview)
        self._preview = None

    def take(self, latents: Tensor) -> None:
        """Decode and write frames f 4 h w, in the UNet's scale."""
        latents = self._request.guider.model_patcher.model.process_latent_out(latents.float())
        # The UNet has to be back for the next call, as the host has it where a ControlNet takes a VAE.
        loaded = comfy.model_management.loaded_models(only_currently_used=True)
        images = self._vae.decode(latents)
        # None stands where a MODEL of an earlier run is gone, but its motion module is not.
        comfy.model_management.load_models_gpu([model for model in loaded if model is not None])
        if self._file is None:
            self._file = VideoFile(self._target, images.shape[2], images.shape[1])
        self._file.write(images)
        newest = (images[-1, ..., :3] * 255).clamp(0, 255).byte().cpu().numpy()
        self._preview = ("JPEG", Image.fromarray(newest), latent_preview.MAX_PREVIEW_RESOLUTION)

    def close(self, how: str) -> Saved:
        """End the file; where there is none, return nowhere."""
        if self._file is None:
            return Saved(Path(), "", "")
        self._file.close()
        summary = f"{self._file.frames} of {self._request.num_frames} frames in {self._file.path.name}"
        logging.getLogger(__name__).info("the recording %s: %s", how, summary)
        return Saved(self._file.path, self._file.subfolder, summary)

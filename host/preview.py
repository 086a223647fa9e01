"""A preview that moves: the whole clip at every step, on the node that samples.

The sampler's callback is given all frames, also where they are computed in windows. They go the way of the host's own
previews, which knows the run, the node and the page, as one animated PNG: a page shows it as it shows any picture.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.utils
import folder_paths
import torch
from comfy.latent_formats import LatentFormat
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from .patchers import KEY

PREVIEW = f"{KEY}.preview"
"""Names our wrapper."""
SETTING, HOSTS_METHOD = "AnimateLCM.Preview", "Comfy.Execution.PreviewMethod"
"""Settings of the page: ours, on or off, and the host's, where "none" means no pictures at all."""
FRAMES_PER_SECOND = 8
LONGEST_SIDE, MOST_FRAMES = 96, 64
"""Of the pictures; a larger or longer clip is made smaller, or shown with every other frame, so that it costs no more
than a large one."""
SHORTEST_PAUSE = 0.1
"""Seconds between two clips, where steps are quicker than a page can show them."""


class MovingImage(Image.Image):
    """A clip as the host sends pictures: a picture, the first frame, which is saved with all that follow it."""

    def __init__(self, frames: list[Image.Image], milliseconds: int) -> None:
        super().__init__()
        self.__setstate__(frames[0].__getstate__())
        self.frames, self.milliseconds = frames, milliseconds

    def save(self, fp: Any, format: str | None = None, **options: Any) -> None:
        """Write the clip, which starts over at its end; `options` are the host's."""
        self.frames[0].save(fp, format, **options, save_all=True, append_images=self.frames[1:],
                            duration=self.milliseconds, loop=0)


def show_clips(model: ModelPatcher) -> None:
    """Let every run of a MODEL show its clip at each step; `model` is changed, so hand over a clone."""
    model.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, PREVIEW)
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, PREVIEW, _with_preview)


def _with_preview(executor, noise: Tensor, latent_image: Tensor, sampler, sigmas: Tensor,
                  noise_mask: Tensor | None = None, callback: Callable | None = None, *args, **kwargs) -> Tensor:
    """OUTER_SAMPLE wrapper: show the clip after what the run does at each step anyway."""
    latent_format = executor.class_obj.model_patcher.model.latent_format
    if latent_format.latent_rgb_factors is not None and _is_wanted():
        callback = _showing(latent_format, callback)
    return executor(noise, latent_image, sampler, sigmas, noise_mask, callback, *args, **kwargs)


def _is_wanted() -> bool:
    """Say whether somebody looks: a page that has started the run, and whose settings ask for previews."""
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    if getattr(server, "client_id", None) is None:
        return False
    try:
        text = (Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json").read_text("utf-8")
        settings = dict(json.loads(text))
    except (OSError, ValueError, TypeError):
        # There are none yet, or none that the host could read either.
        return True
    return bool(settings.get(SETTING, True)) and settings.get(HOSTS_METHOD) != "none"


def _showing(latent_format: LatentFormat, callback: Callable | None) -> Callable:
    """Return a sampler's callback that also shows the clip."""
    begun, shown = time.monotonic(), 0.0

    def show(step: int, x0: Tensor, x: Tensor, total_steps: int) -> None:
        nonlocal shown
        if callback is not None:
            callback(step, x0, x, total_steps)
        now = time.monotonic()
        if now - shown < SHORTEST_PAUSE and step + 1 < total_steps:
            return
        shown = now
        clip = clip_of(x0, latent_format, now - begun)
        comfy.utils.ProgressBar(total_steps).update_absolute(step + 1, total_steps, ("PNG", clip, None))

    return show


def clip_of(x0: Tensor, latent_format: LatentFormat, seconds: float = 0.0) -> MovingImage:
    """Return the clip in about its colours, by the factors that a kind of latents has for it.

    Args:
        x0: The frames, (f, c, h, w), as the sampler has them.
        seconds: Since the first preview; the clip goes on from there, so that a new one does not start it over.
    """
    pixels = _pixels(x0, latent_format)
    frames = [Image.fromarray(frame) for frame in pixels.numpy()]
    first = int(seconds * FRAMES_PER_SECOND * len(frames) / len(x0)) % len(frames)
    milliseconds = round(1000 / FRAMES_PER_SECOND * len(x0) / len(frames))
    return MovingImage(frames[first:] + frames[:first], milliseconds)


def _pixels(x0: Tensor, latent_format: LatentFormat) -> Tensor:
    """Return the frames in bytes, (f, h, w, 3), in main memory."""
    x0 = x0[::-(-len(x0) // MOST_FRAMES)]
    height, width = x0.shape[-2:]
    if (scale := LONGEST_SIDE / max(height, width)) < 1:
        x0 = F.interpolate(x0.float(), size=(max(1, round(height * scale)), max(1, round(width * scale))), mode="area")
    if latent_format.latent_rgb_factors_reshape is not None:
        x0 = latent_format.latent_rgb_factors_reshape(x0)
    rgb = x0.movedim(1, -1) @ torch.tensor(latent_format.latent_rgb_factors, dtype=x0.dtype, device=x0.device)
    if latent_format.latent_rgb_factors_bias is not None:
        rgb = rgb + torch.tensor(latent_format.latent_rgb_factors_bias, dtype=x0.dtype, device=x0.device)
    return ((rgb + 1) / 2 * 255).clamp(0, 255).to("cpu", torch.uint8)

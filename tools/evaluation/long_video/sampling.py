"""Make a long video with the demo model in one of the ways, and count what it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from ....demo.backdrops import SIZE
from ...demo.sampler import DemoSampler, Parts
from .ways import WINDOW, Way


@dataclass(frozen=True)
class Sampled:
    """A video, and the work that it took."""

    clip: Tensor
    """(f, 3, h, w), values 0 to 1."""
    evaluations: int
    """Frames that the network was called with."""
    seconds: float
    """Of the sampling alone, without text and codec."""


class LongSampler:
    """The demo model, loaded once, in all of the ways."""

    def __init__(self, parts: Parts) -> None:
        self.demo = DemoSampler(parts)

    def __call__(self, way: Way, prompt: str, seed: int, num_frames: int) -> Sampled:
        """Return the video of a prompt and a seed."""
        import comfy.sample
        from comfy.patcher_extension import WrappersMP

        from ....host.long_video import long_video
        from ....host.rolling import RollingSampler
        from ....host.sampling import lcm_sampler, scheduled_sigmas

        model, counted = self.demo.model.clone(), []

        def count(executor, x: Tensor, *args, **kwargs):
            counted.append(len(x))
            return executor(x, *args, **kwargs)

        model.add_wrapper(WrappersMP.DIFFUSION_MODEL, count)
        if way.rolling is None:
            model, sampler = long_video(model, WINDOW, way.overlap, False, True), lcm_sampler(1.0)
        else:
            sampler = RollingSampler(way.rolling, same_noise=way.same_noise)
        latent = torch.zeros(way.frames(num_frames), 4, SIZE // 8, SIZE // 8)
        clip = self.demo.clip
        with torch.inference_mode():
            positive, negative = (clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (prompt, ""))
            sigmas, _ = scheduled_sigmas(model, way.steps)
            begun = time.perf_counter()
            samples = comfy.sample.sample_custom(
                model, comfy.sample.prepare_noise(latent, seed), 1.0, sampler, sigmas, positive, negative, latent,
                disable_pbar=True, seed=seed)
            seconds = time.perf_counter() - begun
            return Sampled(self.demo.vae.decode(samples).permute(0, 3, 1, 2), sum(counted), seconds)

"""The rolling sampler as a SAMPLER of the host: each call of the UNet gets the frames of its part of the video.

Prompts, masks, hints, reference images and all else follow the frames as they do in context windows, since each call is
one to the host. Noise is made by seed, frame and level, so that it is the same in every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import comfy.model_management
import torch
from comfy.model_sampling import EPS
from comfy.samplers import CFGGuider, KSamplerX0Inpaint
from torch import Size, Tensor, nn
from tqdm.auto import tqdm

from ..samplers.noise_order import noise_source
from ..samplers.rolling import Rolling, sample_rolling
from .advice import ADVICE, Placed
from .inpainting import check_pictures, with_pictures
from .motion import networks_on
from .parts import PartHandler, PartSampler
from .sampling import FreshNoise, is_phased

LONG_VIDEO = "Use Long Video with another sampler"
CACHES = ("EasyCacheHolder", "LazyCacheHolder")
"""Parts of the host's patches that compare a call with the one before it, as if both had the same frames."""


@dataclass(frozen=True)
class Recording:
    """A video whose latents are never there as a whole."""

    num_frames: int
    take: Callable[[Tensor], None]
    """Called with finished frames, f 4 h w in the UNet's scale, a few at a time and in order."""


@dataclass(frozen=True)
class RollingSampler(FreshNoise, PartSampler):
    """The SAMPLER of the node."""

    settings: Rolling
    recording: Recording | None = None
    """None: the video is the latent that the run is given."""
    same_noise: bool = False
    """Whether the noise of the first queue is used over and over, in another order each time (FreeNoise)."""
    auto: bool = False
    """Whether a network that was distilled in phases gets no fresh noise."""

    @property
    def frames_per_call(self) -> int:
        """Return the frames of the window."""
        return self.settings.window

    def video(self, latents: Size) -> Size:
        """Return the shape of the video, f 4 h w."""
        return latents if self.recording is None else Size((self.recording.num_frames, *latents[1:]))

    def fresh_noise(self, model_sampling: nn.Module) -> float:
        """Return the share of fresh noise between two levels, 0 to 1."""
        return 0.0 if self.auto and is_phased(model_sampling) else self.settings.gamma

    def check(self, guider: CFGGuider, sigmas: Tensor) -> None:
        """Check that MODEL and noise levels suit the SAMPLER.

        Raises:
            ValueError: They do not.
        """
        _check_model(guider, self.settings.window)
        _check_conditionings(guider)
        if sigmas[-1] != 0 or (sigmas.diff() >= 0).any():
            raise ValueError("the rolling sampler finishes one frame after the other, so that SIGMAS have to fall to "
                             f"0; these are {', '.join(f'{sigma:g}' for sigma in sigmas.tolist())}. Connect AnimateLCM "
                             "Scheduler, and no Split Sigmas")
        try:
            self.settings.frames_per_level(len(sigmas) - 1)
        except ValueError as error:
            raise ValueError(f"{error}. For other numbers: {LONG_VIDEO}") from None

    def sample(self, model_wrap: CFGGuider, sigmas: Tensor, extra_args: dict, callback: Callable | None, noise: Tensor,
               latent_image: Tensor, denoise_mask: Tensor | None = None, disable_pbar: bool = False) -> Tensor:
        """Return the video's latents, or where it is recorded those that were finished last; the host calls this."""
        if not networks_on(model_wrap.model_patcher):
            raise ValueError("this MODEL has no motion module, so its frames have nothing to do with one another. Put "
                             "Text to Video, Image to Video or Apply Motion Module before the sampler")
        total = self.video(noise.shape)[0]
        settings = replace(self.settings, gamma=self.fresh_noise(
            model_wrap.model_patcher.get_model_object("model_sampling")))
        if self.recording is not None:
            check_pictures(model_wrap.conds, total)
        run = _Run(self, model_wrap, sigmas, extra_args, noise, latent_image, denoise_mask)
        calls, blocks = self.settings.calls(total, len(sigmas) - 1), []
        report = callback or (lambda *args: None)
        with tqdm(total=calls, disable=disable_pbar) as bar:
            numbers = iter(range(calls))

            def predict(x: Tensor, sigma: Tensor, frames: range) -> Tensor:
                comfy.model_management.throw_exception_if_processing_interrupted()
                x0 = run.predict(x, sigma, frames)
                report(next(numbers), x0, x, calls)
                bar.update()
                return x0

            for finished, _ in sample_rolling(predict, run.start, total, sigmas, settings, run.noise_of):
                if self.recording is None:
                    blocks.append(finished)
                else:
                    self.recording.take(finished)
                    blocks = [finished]
        video = torch.cat(blocks)
        # The host's nodes keep the last report as the denoised video.
        report(calls - 1, video, video, calls)
        return video


def describe(settings: Rolling) -> str:
    """Return lines about a window for its node to show."""
    queue = settings.queue
    steps = ", ".join(str(count) for count in range(1, min(queue, 16) + 1) if queue % count == 0)
    return (f"windows of {settings.window} frames, {settings.anchors} of them finished\nfor {steps} steps\ntakes "
            f"{settings.parts * settings.window / queue:.2f} times as long as one piece would")


class _Run:
    """What belongs to the frames of one run. Those after the last one are like that one, and have noise of their own.
    """

    def __init__(self, sampler: RollingSampler, guider: CFGGuider, sigmas: Tensor, extra_args: dict, noise: Tensor,
                 latents: Tensor, masks: Tensor | None) -> None:
        self.guider, self.sigmas, self.extra_args = guider, sigmas, extra_args
        self.latents, self.masks = latents, masks
        # Of a recorded video there is no noise but what is made as it is asked for.
        self.recorded = sampler.recording is not None
        self.noise = noise[:0] if self.recorded else noise
        self.shape, self.device = sampler.video(noise.shape), noise.device
        self.from_noise = sampler.max_denoise(guider, sigmas)
        self.seed = extra_args.get("seed") or 0
        # Of how many frames the noise is used over and over, and which of them change places.
        self.order = (sampler.settings.queue, sampler.settings.frames_per_level(len(sigmas) - 1)
                      ) if sampler.same_noise else None

    def start(self, frames: range) -> Tensor:
        """Return the latents of frames at the first noise level, f 4 h w."""
        model_sampling = self.guider.inner_model.model_sampling
        return model_sampling.noise_scaling(
            self.sigmas[0], self._start_noise(frames), self._of(self.latents, frames), self.from_noise)

    def _start_noise(self, frames: range) -> Tensor:
        return torch.cat([
            self.noise[source:source + 1] if (source := self._source(frame)) < len(self.noise)
            else self.noise_of(range(frame, frame + 1), 0) for frame in frames])

    def noise_of(self, frames: range, level: int) -> Tensor:
        """Return the noise of frames with which they go to a level, f 4 h w."""
        drawn = [torch.randn(self.shape[1:], generator=_generator(self.seed, self._source(frame), level))
                 for frame in frames]
        return torch.stack(drawn).to(self.device)

    def _source(self, frame: int) -> int:
        """Return the frame whose noise a frame has."""
        return frame if self.order is None else noise_source(frame, *self.order, self.seed)

    def _of(self, values: Tensor, frames: range) -> Tensor:
        """Return what belongs to frames, of one value for all or of one for each."""
        if len(values) == 1:
            return values.expand(len(frames), *values.shape[1:])
        return values[self._known(frames)]

    def _known(self, frames: range) -> list[int]:
        return [min(frame, self.shape[0] - 1) for frame in frames]

    def predict(self, x: Tensor, sigma: Tensor, frames: range) -> Tensor:
        """Return what the guider makes of frames that are each at a noise level of their own."""
        latents = self._of(self.latents, frames)
        masks = None if self.masks is None else self._of(self.masks, frames)
        handler = PartHandler(self._known(frames), self.shape[0],
                              partial(with_pictures, latents=latents, masks=masks) if self.recorded else None)
        options = self.extra_args["model_options"] | {"context_handler": handler}
        model = KSamplerX0Inpaint(self.guider, self.sigmas)
        if masks is not None:
            model.latent_image, model.noise = latents, self._start_noise(frames)
            function = options.pop("denoise_mask_function", None)
            if function is not None:
                # Differential Diffusion asks the first frame how much noise there is.
                about = {"model": self.guider, "sigmas": self.sigmas}
                masks = torch.cat([function(sigma[i:i + 1], masks[i:i + 1], extra_options=about)
                                   for i in range(len(masks))])
        return model(x, sigma, masks, options, self.extra_args.get("seed"))


def _generator(seed: int, frame: int, level: int) -> torch.Generator:
    """Return a generator for one frame at one level, unrelated to that of any other."""
    digest = hashlib.blake2b(f"{seed} {frame} {level}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big", signed=True))


def _check_model(guider: CFGGuider, window: int) -> None:
    model, options = guider.model_patcher, guider.model_options
    if "context_handler" in options:
        raise ValueError("this MODEL has context windows, and the rolling sampler has its own. Take Long Video or "
                         "Context Windows (Manual) off, or use them with another sampler")
    limit = min(network.config.max_frames for network in networks_on(model))
    if window > limit:
        raise ValueError(f"the rolling sampler's window is {window} frames, but the motion module knows at most "
                         f"{limit}. 16 is recommended, which the modules were trained with")
    model_sampling = model.get_model_object("model_sampling")
    if not isinstance(model_sampling, EPS):
        raise ValueError(f"this MODEL samples as {type(model_sampling).__name__}, whose noise the rolling sampler does "
                         "not know; connect a Stable Diffusion 1.5 model")
    if type(options.get("transformer_options", {}).get("easycache")).__name__ in CACHES:
        raise ValueError("EasyCache and LazyCache compare each call with the one before it, but the calls of the "
                         f"rolling sampler have other frames. Take it off the MODEL. Or: {LONG_VIDEO} and LazyCache")
    placed: tuple[Placed, ...] = options.get("transformer_options", {}).get(ADVICE, ())
    slow = [entry.name for entry in placed if entry.recipe is not None and not entry.recipe.few]
    # A LoRA for few steps may have made it quick.
    if slow and not model.patches:
        raise ValueError(f"'{slow[0]}' needs many steps, and the rolling sampler is made for few: 4 is recommended. "
                         "Load a few-step module such as AnimateLCM_sd15_t2v.ckpt, add a LoRA for few steps, or use "
                         "Long Video with euler and 25 steps")


def _check_conditionings(guider: CFGGuider) -> None:
    """Refuse LoRAs whose strength changes over the steps: weights are the same for all frames of a call."""
    for entries in guider.conds.values():
        for entry in entries:
            hooks = entry.get("hooks")
            if hooks is not None and any(hook.hook_keyframe.keyframes for hook in hooks.hooks):
                raise ValueError("a LoRA's hook keyframes change it over the steps, but a call of the rolling sampler "
                                 f"has frames of every step. Take the keyframes off. Or: {LONG_VIDEO}")

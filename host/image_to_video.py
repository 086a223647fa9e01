"""Put an image-to-video module into a MODEL: its encoder's features of a reference image enter before its own sites.

The encoder travels as an additional model, like the motion weights. Its features are the same at every step of a run:
they are made at the first call that needs them and kept until the run ends, or until another window's take their place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy.samplers import Sampler
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..motion.image_encoder import LATENT_CHANNELS, ImageEncoder
from ..motion.module import DOWN_SITES
from ..samplers.schedules import Schedule
from .fit import INPUT_BLOCKS_PER_LEVEL, check_fit
from .inserts import AfterBlock, Block
from .motion import LoadedMotion, applied_to, apply_motion
from .parts import video_of
from .patchers import KEY, attach, attached, weights_name
from .sizes import LATENT_CELL
from .windows import frames_of_clip, window_of

ENCODERS = f"{KEY}.encoders"
"""Names the encoders among the additional models of a MODEL, and our wrapper around a run."""


class KeptFeatures:
    """The reference features of one run, under each key those that were asked for last.

    A video in windows needs no more memory than one of its windows, also with an image for each frame.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple, tuple[tuple[int, ...], list[Tensor]]] = {}

    def get(self, key: tuple, chosen: tuple[int, ...], make: Callable[[], list[Tensor]]) -> list[Tensor]:
        """Return the features of the chosen references, made where the key has others or none."""
        if key not in self._kept or self._kept[key][0] != chosen:
            # The old ones go before the new ones come.
            self._kept.pop(key, None)
            self._kept[key] = chosen, make()
        return self._kept[key][1]


@dataclass(frozen=True, eq=False)
class ReferenceImage:
    """A reference image on a MODEL, in the place of an Insert."""

    name: str
    """The motion file's name, for messages."""
    latents: Tensor
    """In the UNet's scale: 1 4 h w for all frames, or f 4 h w with one for each."""
    motion_scale: float
    """Factor on what tells the frames apart: 0.8 is the authors' choice."""
    level_weights: tuple[float, ...]
    """Factor on the features of each UNet level, from the finest to the deepest; 1 is as trained."""
    channels: tuple[int, ...]
    """Channels of each level's features."""
    encoder: str
    """The name of the encoder's weights among the additional models of the MODEL."""

    def check(self, video: torch.Size) -> None:
        """Check that the reference belongs to a video of latents f 4 h w.

        Raises:
            ValueError: It is of another size, or of another number of frames.
        """
        count, frames = len(self.latents), video[0]
        if count not in (1, frames):
            raise ValueError(f"the video has {frames} frames, but '{self.name}' was given {count} reference images. "
                             "Give Image to Video one image, or one for each frame, and sample the latent it puts out")
        if self.latents.shape[-2:] != video[-2:]:
            raise ValueError(f"the video has {_pixels(video)} pixels, but the reference image of '{self.name}' was "
                             f"made {_pixels(self.latents.shape)}. Set width and height of Image to Video to the "
                             "video's; a second pass in another size needs another Image to Video node")

    def sites(self, base: BaseModel, x: Tensor, num_frames: int, options: dict) -> dict[Block, AfterBlock]:
        """Return the additions: on each level on the way down, before its last site."""
        if x.shape[-2:] != self.latents.shape[-2:]:
            raise ValueError("a conditioning is for a part of the picture only, which the reference image of "
                             f"'{self.name}' does not fit. Use Conditioning (Set Mask), with set_cond_area 'default', "
                             "instead of Conditioning (Set Area)")
        chosen, dtype = self._chosen(num_frames, options), base.get_dtype_inference()

        def make() -> list[Tensor]:
            encoder: ImageEncoder = attached(base.current_patcher, self.encoder)
            features = encoder(self.latents[list(chosen)].to(x.device, dtype), num_frames, self.motion_scale)
            return [weight * feature for weight, feature in zip(self.level_weights, features, strict=True)]

        kept = options.get(KeptFeatures) or KeptFeatures()
        features = kept.get((self, num_frames, x.device, dtype), chosen, make)
        window = window_of(options)
        if window is not None and window.rolling and len(self.latents) == 1:
            features = [_of_first_frames(feature, window.frames) for feature in features]
        return {("input", INPUT_BLOCKS_PER_LEVEL * level + DOWN_SITES): _Addition(feature)
                for level, feature in enumerate(features)}

    def _chosen(self, num_frames: int, options: dict) -> tuple[int, ...]:
        """Return which of the latents belong to a clip."""
        if len(self.latents) == 1:
            return (0,)
        chosen = frames_of_clip(len(self.latents), num_frames, options)
        if chosen is None:
            raise ValueError(f"the UNet is given {num_frames} frames at a time, and nothing says which of the "
                             f"{len(self.latents)} reference images of '{self.name}' are theirs. Use one reference "
                             "image, or the node Long Video")
        return chosen

    def kept_bytes(self, num_frames: int, pixels: int, item_size: int) -> int:
        """Return the bytes of the features of one clip."""
        pixels_of_levels = (channels * pixels // 4**level for level, channels in enumerate(self.channels))
        return num_frames * item_size * sum(pixels_of_levels)


@dataclass(frozen=True)
class _Addition:
    features: Tensor
    """Of one clip, f c h w."""

    def __call__(self, x: Tensor, num_frames: int) -> Tensor:
        features = self.features
        if features.shape[-2:] != x.shape[-2:]:
            # Patches such as the host's PatchModelAddDownscale shrink the UNet's features on the way.
            features = F.interpolate(features, x.shape[-2:], mode="area")
        # The same for each clip: (b f) c h w -> b f c h w and back.
        return (x.unflatten(0, (-1, num_frames)) + features.to(x)).flatten(0, 1)


def _of_first_frames(features: Tensor, frames: tuple[int, ...]) -> Tensor:
    """Return the features of frames of the video, of which one image animates as many as a call has: none for later
    ones, which have those before them to follow.
    """
    own = torch.zeros((len(frames), *features.shape[1:]), dtype=features.dtype, device=features.device)
    first = [frame for frame in frames if frame < len(features)]
    own[:len(first)] = features[first]
    return own


def _pixels(latents: torch.Size) -> str:
    return f"{LATENT_CELL * latents[-1]} x {LATENT_CELL * latents[-2]}"


def check_animates(model: ModelPatcher, motion: LoadedMotion) -> None:
    """Check that a motion module can follow an image in a MODEL, before the image is encoded.

    Raises:
        ValueError: It has no image encoder, or does not fit the MODEL's UNet.
    """
    if motion.encoder is None:
        raise ValueError(f"motion module '{motion.name}' ({motion.family}) has no image encoder and cannot follow a "
                         "reference image. Load an image-to-video file, such as AnimateLCM_sd15_i2v.ckpt, or use Apply "
                         "Motion Module for text to video")
    check_fit(model, motion.name, motion.family, motion.patcher.model)


def apply_image_to_video(model: ModelPatcher, motion: LoadedMotion, latents: Tensor, motion_scale: float,
                         level_weights: tuple[float, ...], strength: float, schedule: Schedule | None) -> ModelPatcher:
    """Return a clone of `model` whose UNet also runs `motion`, with the features of a reference.

    Args:
        latents: The reference as the VAE gives it, 1 4 h w for all frames or f 4 h w with one for each.
        motion_scale: Factor on what tells the frames apart, 0.8 by default; 0 makes a still.
        level_weights: Factor on the features of each UNet level, from the finest to the deepest; 1 is as trained.
        strength: Factor on what the motion module adds; 1 is as trained.
        schedule: Noise schedule to sample with; None keeps the model's own.

    Raises:
        ValueError: The motion module has no image encoder, or it or the latents do not fit the model.
    """
    check_animates(model, motion)
    if latents.ndim != 4 or latents.shape[1] != LATENT_CHANNELS:
        raise ValueError(f"the VAE makes latents of the shape {tuple(latents.shape)}, the image encoder takes "
                         f"{LATENT_CHANNELS} channels (frames, {LATENT_CHANNELS}, height, width). Connect the VAE of "
                         "a Stable Diffusion 1.5 checkpoint")
    reference = ReferenceImage(motion.name, model.get_model_object("latent_format").process_in(latents), motion_scale,
                          level_weights, motion.config.channels, weights_name(motion.encoder))
    applied = apply_motion(model, motion, strength, schedule, reference)
    attach(applied, ENCODERS, motion.encoder)
    applied.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, ENCODERS)
    applied.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, ENCODERS, _begin_sampling)
    return applied


def _begin_sampling(executor, noise: Tensor, latent_image: Tensor, sampler: Sampler, *args, **kwargs) -> Tensor:
    """OUTER_SAMPLE wrapper: check the references, and open what keeps their features during this run."""
    # The guider works on a copy of the options that ends with the run.
    guider = executor.class_obj
    options = guider.model_options["transformer_options"]
    for entry in applied_to(guider.model_patcher):
        if isinstance(entry.insert, ReferenceImage):
            entry.insert.check(video_of(sampler, noise.shape))
    options[KeptFeatures] = KeptFeatures()
    return executor(noise, latent_image, sampler, *args, **kwargs)


def fit_images(images: Tensor, width: int, height: int) -> tuple[Tensor, str]:
    """Scale images (b h w c, values 0 to 1) to cover a size, with antialiasing, and cut their middle out.

    Transparency is left out: images have 3 channels, or 4 with it; grey ones 1, or 2 with it.

    Returns:
        The images, b height width 3, and a line that says what was done.
    """
    # Not at the top: kornia takes seconds to import.
    from kornia.geometry.transform import resize

    colours, (old_height, old_width) = 1 if images.shape[-1] < 3 else 3, images.shape[1:3]
    images = images[..., :colours].expand(-1, -1, -1, 3)
    message = f"reference {old_width} x {old_height}"
    scale = max(width / old_width, height / old_height)
    scaled_width, scaled_height = max(width, round(scale * old_width)), max(height, round(scale * old_height))
    if scale != 1:
        pixels = rearrange(images, "b h w c -> b c h w")
        pixels = resize(pixels, (scaled_height, scaled_width), interpolation="bicubic", antialias=True)
        images = rearrange(pixels, "b c h w -> b h w c").clamp(0, 1)
        message += f", scaled to {scaled_width} x {scaled_height}"
    if (scaled_width, scaled_height) != (width, height):
        left, top = (scaled_width - width) // 2, (scaled_height - height) // 2
        images = images[:, top:top + height, left:left + width]
        message += f", cut to {width} x {height}"
    return images, message

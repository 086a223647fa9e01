"""The demo model in one process, sampled as the stock nodes would, with what can be put beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...demo.backdrops import SIZE
from ...demo.files import LORA, MODELS, MOTION, OWN_MOTION, WEIGHTS
from ...demo.scenes import FRAMES

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


@dataclass(frozen=True)
class Settings:
    """How a clip is sampled."""

    steps: int = 25
    cfg: float = 4.0
    sampler: str = "euler"
    scheduler: str = "normal"
    frames: int = FRAMES


FEW_STEP_SETTINGS = Settings(4, 1.0, "lcm", "simple")


@dataclass(frozen=True)
class Parts:
    """What is put on the demo model."""

    motion: Path | None = None
    """A motion file in place of the demo model's own."""
    loras: tuple[Path, ...] = ()
    """LoRAs of the UNet, each at strength 1."""
    control_net: Path | None = None
    """A ControlNet at strength 1, which follows the hints."""
    weights: Path = WEIGHTS
    """Folder of the demo model."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Return all files that are put on it, in a fixed order."""
        return tuple(path for path in (self.motion, *self.loras, self.control_net) if path is not None)


def distilled(weights: Path = WEIGHTS, models: Path = MODELS) -> Parts:
    """Return the demo model in `weights` with what it needs few steps with, in `models`."""
    return Parts(models / MOTION, (models / LORA,), weights=weights)


DISTILLED = distilled()
"""The embedded ones."""


class DemoSampler:
    """The demo model with its motion module and other parts, loaded once."""

    def __init__(self, parts: Parts = Parts()) -> None:
        import comfy.controlnet

        from ...demo.model import load_demo_model
        from ...host.motion import load_motion

        model, self.clip, self.vae = load_demo_model(parts.weights)
        for lora in parts.loras:
            model = with_lora(model, lora)
        self.plain, self.motion = model, load_motion(parts.motion or parts.weights / OWN_MOTION)
        self.model = self._moving(None)
        self.control = None
        if parts.control_net is not None:
            self.control = comfy.controlnet.load_controlnet(str(parts.control_net), model)

    def __call__(self, prompt: str, seed: int, settings: Settings, hints: Tensor | None = None,
                 reference: Tensor | None = None, negative: str = "") -> Tensor:
        """Return the clip, (f, 3, h, w), values 0 to 1.

        Args:
            hints: What the ControlNet follows, (f, 3, h, w), values 0 to 1.
            reference: The image that the clip begins with, (3, h, w), values 0 to 1; needs a motion file with an image
                encoder.
            negative: The negative prompt.
        """
        with torch.inference_mode():
            return self.vae.decode(self.latents(prompt, seed, settings, hints, reference, negative)).permute(0, 3, 1, 2)

    def latents(self, prompt: str, seed: int, settings: Settings, hints: Tensor | None = None,
                reference: Tensor | None = None, negative: str = "") -> Tensor:
        """Return the clip's latents in the VAE's scale, f 4 h w; the arguments are those of a call."""
        import comfy.sample

        side = SIZE // 8
        latent = torch.zeros(settings.frames, 4, side, side)
        with torch.inference_mode():
            model = self.model if reference is None else self._moving(reference)
            wanted, unwanted = (self._controlled(self._encode(text), hints) for text in (prompt, negative))
            return comfy.sample.sample(
                model, comfy.sample.prepare_noise(latent, seed), settings.steps, settings.cfg, settings.sampler,
                settings.scheduler, wanted, unwanted, latent, seed=seed, disable_pbar=True)

    def _moving(self, reference: Tensor | None) -> ModelPatcher:
        from ...host.image_to_video import apply_image_to_video
        from ...host.motion import apply_motion, in_phases_of
        from ...samplers.schedules import SCHEDULES

        schedule = in_phases_of(self.motion, SCHEDULES[self.motion.schedule])
        if reference is None:
            return apply_motion(self.plain, self.motion, 1.0, schedule)
        latents = self.vae.encode(reference.movedim(0, -1).unsqueeze(0))
        return apply_image_to_video(self.plain, self.motion, latents, 0.8, (1.0,) * 4, 1.0, schedule)

    def _encode(self, prompt: str) -> list:
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(prompt))

    def _controlled(self, conditioning: list, hints: Tensor | None) -> list:
        if hints is None or self.control is None:
            return conditioning
        control = self.control.copy().set_cond_hint(hints, 1.0, (0.0, 1.0))
        return [[context, {**more, "control": control, "control_apply_to_uncond": False}]
                for context, more in conditioning]


def with_lora(model: ModelPatcher, path: Path) -> ModelPatcher:
    """Return a clone of a MODEL with a LoRA at strength 1.

    Raises:
        ValueError: A layer of the LoRA has no place in the MODEL, which the host only logs.
    """
    import comfy.sd
    import comfy.utils

    tensors = comfy.utils.load_torch_file(str(path), safe_load=True)
    patched, _ = comfy.sd.load_lora_for_models(model, None, tensors, 1.0, 0.0)
    layers, used = sum(key.endswith("lora_up.weight") for key in tensors), _patches(patched) - _patches(model)
    if used != layers or not layers:
        raise ValueError(f"{path.name} has {layers} LoRA layers, and {used} of them fit this model")
    return patched


def _patches(model: ModelPatcher) -> int:
    """Return how many patches the weights have; a weight with two LoRAs has two."""
    return sum(len(patches) for patches in model.patches.values())

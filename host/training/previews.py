"""Pictures of what a network makes while it is being trained."""

from __future__ import annotations

import torch
from comfy.model_patcher import ModelPatcher
from latent_preview import Latent2RGBPreviewer
from PIL import Image

from ...training.sampling import sample
from ...training.stages import Setting, network
from ...training.trainer import Stage, autocast

FRAMES = 4
"""Frames of a clip that are shown, side by side."""
ENLARGED = 8
"""Pixels along each side that a latent pixel is shown with."""


def preview(stage: Stage, setting: Setting, model: ModelPatcher) -> Image.Image:
    """Sample the first batch's first caption with the averaged weights, in four steps or as many as there are phases.

    The frames of a clip are side by side, on the MODEL that was given first.
    """
    examples, how = setting.source(0), setting.config.distillation
    if setting.bases is not None:
        setting.bases.use(0)
    one = {name: condition[:1] for name, condition in examples.conditions.items()}
    averaged = network(setting.model, stage.average, one)
    with autocast(setting.config.loop, examples.latents.device):
        latents = sample(averaged, setting.diffusion, examples.latents[:1].shape, examples.context[:1],
                         how.original_steps, seed=setting.config.seed, phases=how.phases)
    frames = latents[0] if latents.ndim == 5 else latents
    frames = frames[torch.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().long()]
    latent_format = model.get_model_object("latent_format")
    previewer = Latent2RGBPreviewer(latent_format.latent_rgb_factors, latent_format.latent_rgb_factors_bias)
    pictures = [previewer.decode_latent_to_preview(frame.unsqueeze(0)) for frame in frames]
    strip = Image.new("RGB", (sum(picture.width for picture in pictures), pictures[0].height))
    for index, picture in enumerate(pictures):
        strip.paste(picture, (index * picture.width, 0))
    return strip.resize((strip.width * ENLARGED, strip.height * ENLARGED))

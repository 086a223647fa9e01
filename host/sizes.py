"""Sizes that nodes declare and the host side computes with."""

import comfy.model_management
import torch
from torch import Tensor

LATENT_CELL = 8
"""Pixels along each side of a latent pixel of Stable Diffusion."""
LATENT_CHANNELS = 4


def empty_frames(width: int, height: int, num_frames: int) -> Tensor:
    """Return the latents of a video that is still to be made, f c h w, as the host's Empty Latent Image does."""
    return torch.zeros(num_frames, LATENT_CHANNELS, height // LATENT_CELL, width // LATENT_CELL,
                       device=comfy.model_management.intermediate_device())

"""Pictures of what a model in training makes: sampled with few words of code, to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ...demo.autoencoder import SCALE, Autoencoder
from .denoising import ALPHAS_CUMPROD

PROMPTS = (
    "a penguin running left in the snow", "a rocket flying up at night", "a horse running right in a meadow",
    "a dolphin jumping left in the sea", "a red car driving right at sunset", "a bee flying down in the sky",
    "a ghost in the rain", "an animal",
)
"""What the sheets show."""


@torch.no_grad()
def sample(network: Callable[[Tensor, Tensor, Tensor], Tensor], context: Tensor, empty: Tensor, noise: Tensor,
           steps: int = 25, cfg: float = 4.0) -> Tensor:
    """Sample by DDIM (Song et al. 2021) with a network that predicts v; return clean latents, b c h w.

    Args:
        network: From z (b c h w), timesteps (b,) and context (b n d) to v.
        context: b n d.
        empty: The context of no words, of the same shape.
        noise: b c h w.
    """
    z, both = noise, torch.cat([context, empty])
    timesteps = torch.linspace(999, 0, steps + 1).round().long().tolist()
    for now, then in zip(timesteps, timesteps[1:], strict=False):
        at = torch.full((2 * len(z),), float(now), device=z.device)
        said, unsaid = network(torch.cat([z, z]), at, both).float().chunk(2)
        v = unsaid + cfg * (said - unsaid)
        alpha = float(ALPHAS_CUMPROD[now])
        clean, drawn = alpha ** 0.5 * z - (1 - alpha) ** 0.5 * v, (1 - alpha) ** 0.5 * z + alpha ** 0.5 * v
        alpha = float(ALPHAS_CUMPROD[then]) if then else 1.0
        z = alpha ** 0.5 * clean + (1 - alpha) ** 0.5 * drawn
    return z


def write_sheet(codec: Autoencoder, rows: list[Tensor], path: Path, scale: int = 2) -> None:
    """Decode rows of latents, each b c h w, and write them as one picture."""
    with torch.inference_mode():
        lines = [codec.decode(row.cpu() / SCALE).add(1).div(2).clamp(0, 1) for row in rows]
    sheet = torch.cat([torch.cat(list(line), dim=2) for line in lines], dim=1)
    pixels = (sheet.permute(1, 2, 0) * 255).round().byte().numpy()
    image = Image.fromarray(pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC).save(path)

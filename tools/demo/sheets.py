"""What a model in training makes: its errors, and pictures sampled with few words of code, to be looked at."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from ...demo.autoencoder import SCALE, Autoencoder
from ...training import checkpoints
from .denoising import ALPHAS_CUMPROD

Trained = TypeVar("Trained", bound=nn.Module)

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


@dataclass(frozen=True)
class Looks(Generic[Trained]):
    """Exports the averaged weights of a training, and shows what they make."""

    name: str
    network: Trained
    average: dict[str, Tensor]
    folder: Path
    codec: Autoencoder
    export: Callable[[dict[str, Tensor], Path], None]
    """Writes the averaged weights into a folder."""
    errors: Callable[[Trained], dict[int, float]]
    """Measures a network by timestep, on what it never saw."""
    rows: Callable[[Trained], list[Tensor]]
    """Samples the rows of a sheet: latents, b c h w each."""

    def __call__(self, step: int) -> None:
        averaged = copy.deepcopy(self.network).requires_grad_(False)
        checkpoints.fill(Path(self.name), "average", dict(averaged.named_parameters()), self.average)
        self.export(self.average, self.folder / "weights")
        found = ", ".join(f"{timestep}: {error:.4f}" for timestep, error in self.errors(averaged).items())
        print(f"{self.name} step {step}, errors at {found}", flush=True)
        write_sheet(self.codec, self.rows(averaged), self.folder / "sheets" / f"{self.name}-{step:06d}.png")

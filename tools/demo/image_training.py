"""Train the demo model's image model: its UNet and text encoder, on cached latents of single frames.

    python standalone.py tools.demo.image_training --folder FOLDER [--minutes N] [--images N]
    python standalone.py tools.demo.image_training --folder FOLDER --finish STEPS

The folder has to hold `weights/codec.safetensors`. Without `--finish` the rate is constant, so that every further
sitting improves what the last one left, and the averaged weights are exported every half hour, with a sample sheet and
the errors on scenes never seen. With it the rate falls to zero over so many steps more, which makes the model's last
and best weights.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ...demo import network
from ...demo.autoencoder import Autoencoder
from ...demo.captions import caption
from ...demo.files import TEXT, UNET
from ...storage.atomic import replacing
from ...training.fingerprint import digest, of_tensors
from .command_line import train_from_command_line
from .denoising import ALPHAS_CUMPROD, denoising_loss, generator
from .latent_cache import LATENT, Cache, Source, cached, load_codec
from .sessions import Plan, Sitting, run, stage_of
from .sheets import PROMPTS, Looks, sample

UNSAID = 0.1
"""Share of the captions that are left empty, for guidance."""
MOMENTS = (100, 250, 500, 750, 999)
"""Timesteps at which errors are measured on scenes never seen."""


def pace_for(device: torch.device) -> tuple[int, float]:
    """Return the batch and the rate that suit a device: on a GPU few images take as long as many."""
    return (64, 4e-3) if device.type == "cpu" else (256, 6e-3)


class ImageModel(nn.Module):
    """The UNet and its text encoder, trained together."""

    def __init__(self, unet: nn.Module, text: nn.Module) -> None:
        super().__init__()
        self.unet, self.text = unet, text

    def context(self, captions: list[str]) -> Tensor:
        """Encode captions: b n d."""
        tokens = torch.tensor([network.tokenise(said) for said in captions])
        return encode_text(self.text, tokens.to(next(self.text.parameters()).device))

    def forward(self, z: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        from ...host.training.network import ATTENTION, attend

        options = {ATTENTION: partial(attend, on_cpu=z.device.type == "cpu")}
        return self.unet(z, timesteps, context, transformer_options=options)


def encode_text(text: nn.Module, tokens: Tensor) -> Tensor:
    """Return what the host's CLIP text model returns, (b, n, d), with a gradient.

    The host adds to what a normalisation has yet to be differentiated by, in place.
    """
    from ...host.training.network import attend

    def masked(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor) -> Tensor:
        # Fused kernels take no mask of another type.
        return attend(None, q, k, v, heads, mask.to(q.dtype), on_cpu=q.device.type == "cpu")

    # Modules do not say what they hold.
    model: Any = text.text_model
    x = model.embeddings(tokens)
    length = tokens.shape[1]
    mask = torch.full((length, length), float("-inf"), device=x.device).triu(1)
    for layer in model.encoder.layers:
        x = x + layer.self_attn(layer.layer_norm1(x), mask, masked)
        x = x + layer.mlp(layer.layer_norm2(x))
    return model.final_layer_norm(x)


def new_model(seed: int, unet: dict = network.UNET, text: dict = network.TEXT, num_heads: int = network.NUM_HEADS
              ) -> ImageModel:
    """Build the untrained image model in float32."""
    from ...demo.model import new_text_model, new_unet

    return ImageModel(new_unet(seed, unet, num_heads), new_text_model(seed, text)).requires_grad_(True)


# The data of a step, and its loss.

def image_loss(model: ImageModel, cache: Cache, seed: int, step: int, batch: int) -> Tensor:
    """The denoising loss of cached frames, each with a caption of its own."""
    rng, random_numbers = random.Random(f"image {seed} {step}"), generator(seed, step)
    indices = [rng.randrange(cache.source.count) for _ in range(batch)]
    captions = captions_of(cache.source, indices, rng)
    latent = cache.batch(indices, next(model.parameters()).device)
    timesteps = torch.randint(0, 1000, (batch,), generator=random_numbers)
    noise = torch.randn(latent.shape, generator=random_numbers)
    return denoising_loss(model, latent, model.context(captions), timesteps, noise, ALPHAS_CUMPROD)


def captions_of(source: Source, indices: list[int], rng: random.Random) -> list[str]:
    """Say what entries show, anew each time."""
    return ["" if rng.random() < UNSAID else caption(source.scene(index), rng) for index in indices]


@torch.no_grad()
def held_out_errors(cache: Cache, model: ImageModel) -> dict[int, float]:
    """Return the mean squared error of v at some timesteps, over all frames of the cache."""
    device, count = next(model.parameters()).device, cache.source.count
    latent = cache.batch(range(count), device)
    context = model.context([caption(cache.source.scene(index), random.Random(index)) for index in range(count)])
    found = {}
    for number, timestep in enumerate(MOMENTS):
        noise = torch.randn(latent.shape, generator=generator(1, number))
        at = torch.full((len(latent),), timestep)
        with torch.autocast(device.type, torch.bfloat16):
            found[timestep] = float(denoising_loss(model, latent, context, at, noise, ALPHAS_CUMPROD,
                                                   alike=False))
    return found


@torch.no_grad()
def frames(model: ImageModel) -> list[Tensor]:
    """Sample two frames of each prompt: rows of latents, b c h w."""
    device = next(model.parameters()).device
    noise = torch.randn((2, len(PROMPTS), *LATENT), generator=generator(2, 0))
    context, empty = model.context(list(PROMPTS)), model.context([""] * len(PROMPTS))
    with torch.autocast(device.type, torch.bfloat16):
        return [sample(model, context, empty, row.to(device)) for row in noise]


# The run.

def export(average: dict[str, Tensor], folder: Path) -> None:
    """Write the averaged weights in half precision, as the demo model's files have them."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, name in (("unet", UNET), ("text", TEXT)):
        weights = {key.removeprefix(f"{part}."): value.half().contiguous() for key, value in average.items()
                   if key.startswith(f"{part}.")}
        with replacing(folder / name) as unfinished:
            save_file(weights, unfinished)


def fingerprints(codec: Autoencoder) -> dict[str, str]:
    """Return what the latents and the networks are."""
    return {"codec": of_tensors(codec.encoder.state_dict()),
            "network": digest(network.UNET, network.NUM_HEADS, network.TEXT, network.VOCABULARY)}


def train(plan: Plan, images: int, sitting: Sitting, device: torch.device) -> int:
    """Train the image model for a sitting and export it; return the steps that it has."""
    codec = load_codec(plan.folder / "weights")
    cache, held_out = (cached(plan.folder / "cache", source, codec) for source in (
        Source("images", images, seed=plan.seed), Source("held-out-images", 256, seed=plan.seed)))
    model, seed = new_model(plan.seed).to(device), plan.seed + (plan.finish is not None)
    loss = partial(image_loss, model, cache.to(device), seed, batch=plan.batch)
    stage = stage_of("image", model, loss, fingerprints(codec), plan)
    look = Looks(stage.name, model, stage.average, plan.folder, codec, export, partial(held_out_errors, held_out),
                 frames)
    return run(stage, plan.config(), plan.folder / f"{stage.name}.pt", sitting, look, partial(print, flush=True))


if __name__ == "__main__":
    train_from_command_line(train, pace_for, __doc__, "images", 200_000)

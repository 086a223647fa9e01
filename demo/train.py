"""Train the demo model from nothing: codec, image model, motion module, with the plain denoising objective.

    python dev.py train-demo        about three hours on two cores; killed and started again, it goes on where it was

Every step draws its data from its own number, so a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import argparse
import math
import os
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from . import world
from .codec import SCALE, Codec, encode

WEIGHTS = Path(__file__).parent / "weights"
"""Where the finished weights go."""


@dataclass(frozen=True)
class Stage:
    """What is trained, on what, and for how long."""

    name: str
    """File name of the checkpoint and of the finished weights."""
    network: nn.Module
    """Everything whose parameters are trained."""
    loss: Callable[[int], Tensor]
    """Loss of one step, given the step's number."""
    steps: int
    learning_rate: float
    warmup: int = 100
    """Steps over which the learning rate rises; it falls to zero on half a cosine afterwards."""
    ema: float = 0.999
    """Share of the averaged weights that a step keeps."""

    def __post_init__(self) -> None:
        if self.steps <= self.warmup:
            raise ValueError(f"stage {self.name} has {self.steps} steps; it needs more than {self.warmup} to warm up")

    def rate(self, step: int) -> float:
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - self.warmup) / (self.steps - self.warmup)))


def train(stage: Stage, folder: Path, save_every: int = 200) -> dict[str, Tensor]:
    """Run the stage to its end, from its checkpoint in `folder` if there is one; return the averaged weights."""
    parameters = dict(stage.network.named_parameters())
    average = {name: p.detach().clone() for name, p in parameters.items()}
    optimiser = torch.optim.AdamW(parameters.values(), lr=stage.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3,
                                  fused=True)
    checkpoint = folder / f"{stage.name}.pt"
    first = _resume(checkpoint, stage.network, average, optimiser)
    bar = tqdm(range(first, stage.steps), initial=first, total=stage.steps, desc=stage.name, mininterval=5)
    smooth = None
    for step in bar:
        loss = stage.loss(step)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"{stage.name}: the loss is {loss.item()} at step {step}; the last good checkpoint is {checkpoint}")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimiser.param_groups[0]["lr"] = stage.rate(step)
        optimiser.step()
        # A short average at first, so that the starting point is soon forgotten.
        decay = min(stage.ema, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(average.values()), [p.detach() for p in parameters.values()], 1 - decay)
        smooth = loss.item() if smooth is None else 0.98 * smooth + 0.02 * loss.item()
        bar.set_postfix(loss=f"{smooth:.4f}", refresh=False)
        if (step + 1) % save_every == 0 or step + 1 == stage.steps:
            _save(checkpoint, step + 1, stage.network, average, optimiser)
    return average


def _resume(checkpoint: Path, network: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> int:
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, weights_only=True)
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    average.update(state["average"])
    return state["step"]


def _save(checkpoint: Path, step: int, network: nn.Module, average: dict[str, Tensor], optimiser) -> None:
    """Write the checkpoint whole or not at all."""
    unfinished = checkpoint.with_suffix(".tmp")
    torch.save({"step": step, "network": network.state_dict(), "average": average,
                "optimiser": optimiser.state_dict()}, unfinished)
    os.replace(unfinished, checkpoint)


def write_weights(folder: Path, name: str, weights: dict[str, Tensor]) -> None:
    """Store the weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    halved = {key: value.half().contiguous() for key, value in weights.items()}
    save_file(halved, folder / f"{name}.safetensors")


# The data of a step.

def scenes(seed: int, step: int, count: int) -> tuple[list[world.Scene], random.Random]:
    rng = random.Random(f"{seed} {step}")
    return [world.random_scene(rng) for _ in range(count)], rng


def frames_of(batch: Iterable[world.Scene], rng: random.Random) -> Tensor:
    """Draw one random frame of each scene: (b, 3, h, w), 0 to 1."""
    drawn = []
    for scene in batch:
        centres = world.positions(scene)
        moment = rng.randrange(len(centres))
        drawn.append(world.draw(scene, centres[moment:moment + 1]))
    return torch.cat(drawn)


def generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 10_000_019 + step)


# The losses.

def codec_loss(codec: Codec, seed: int, step: int, batch: int = 8) -> Tensor:
    """Mean absolute error of the decoded frames, from latents as imperfect as a sampler's."""
    chosen, rng = scenes(seed, step, batch)
    image = frames_of(chosen, rng) * 2 - 1
    latent = encode(image)
    noise = torch.randn(latent.shape, generator=generator(seed, step)) * 0.05 / SCALE
    return F.l1_loss(codec.decode(latent + noise * rng.random()), image)


def denoising_loss(network: Callable[[Tensor, Tensor, Tensor], Tensor], latent: Tensor, context: Tensor,
                   timesteps: Tensor, noise: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """Mean squared error of the predicted v at `timesteps` (Salimans & Ho 2022).

    Args:
        network: From z (b c h w), timesteps (b,) and context (b n d) to v.
        latent: Clean latents in the UNet's scale, (b, c, h, w).
        timesteps: Training timesteps, 0 to 999, (b,).
    """
    alpha = alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    z = alpha.sqrt() * latent + (1 - alpha).sqrt() * noise
    v = alpha.sqrt() * noise - (1 - alpha).sqrt() * latent
    return F.mse_loss(network(z, timesteps.float(), context).float(), v)


def alphas_cumprod() -> Tensor:
    """Return AnimateDiff's schedule, linear in beta, for 1000 timesteps."""
    return (1 - torch.linspace(0.00085, 0.012, 1000, dtype=torch.float64)).cumprod(0).float()


class ImageModel(nn.Module):
    """The image model and its text encoder, trained together."""

    def __init__(self, unet: nn.Module, text: nn.Module, tokenise: Callable[[str], list[int]]) -> None:
        super().__init__()
        self.unet, self.text, self.tokenise = unet, text, tokenise

    def context(self, captions: list[str]) -> Tensor:
        return self.text(torch.tensor([self.tokenise(caption) for caption in captions]))[0]


def image_loss(model: ImageModel, seed: int, step: int, batch: int = 16, unconditional: float = 0.1) -> Tensor:
    chosen, rng = scenes(seed, step, batch)
    random_numbers = generator(seed, step)
    latent = encode(frames_of(chosen, rng) * 2 - 1) * SCALE
    captions = ["" if rng.random() < unconditional else world.caption(scene, rng) for scene in chosen]
    timesteps = torch.randint(0, 1000, (batch,), generator=random_numbers)
    noise = torch.randn(latent.shape, generator=random_numbers)
    return denoising_loss(model.unet, latent, model.context(captions), timesteps, noise, ALPHAS_CUMPROD)


ALPHAS_CUMPROD = alphas_cumprod()


def train_codec(folder: Path, weights: Path, seed: int, steps: int) -> None:
    torch.manual_seed(seed)
    codec = Codec()
    stage = Stage("codec", codec, lambda step: codec_loss(codec, seed, step), steps, learning_rate=2e-3, ema=0.995)
    write_weights(weights, "codec", train(stage, folder))


def train_image(folder: Path, weights: Path, seed: int, steps: int) -> None:
    from ..host import tiny

    model = ImageModel(tiny.new_unet(seed), tiny.new_text_model(seed), tiny.tokenise)
    model.requires_grad_(True).train()
    stage = Stage("image", model, lambda step: image_loss(model, seed, step), steps, learning_rate=1e-3)
    trained = train(stage, folder)
    for part in ("unet", "text"):
        write_weights(weights, part, {name.removeprefix(f"{part}."): weight
                                      for name, weight in trained.items() if name.startswith(f"{part}.")})


def motion_loss(network: nn.Module, image: ImageModel, options: dict, seed: int, step: int, clips: int = 2) -> Tensor:
    """The denoising loss of whole clips: one timestep a clip, independent noise a frame.

    Noisy timesteps are drawn more often, by the square of their number: sixteen frames together give the path away
    early, so that words can decide it only where the noise is nearly everything.
    """
    chosen, rng = scenes(seed, step, clips)
    random_numbers = generator(seed, step)
    latent = encode(torch.cat([world.render(scene) for scene in chosen]) * 2 - 1) * SCALE
    captions = ["" if rng.random() < 0.1 else world.caption(scene, rng) for scene in chosen]
    timesteps = (torch.rand(clips, generator=random_numbers) ** (1 / 3) * 1000).long().repeat_interleave(world.FRAMES)
    noise = torch.randn(latent.shape, generator=random_numbers)
    with torch.no_grad():
        context = image.context(captions).repeat_interleave(world.FRAMES, dim=0)

    def denoise(z: Tensor, t: Tensor, c: Tensor) -> Tensor:
        return image.unet(z, t, c, transformer_options=dict(options))

    return denoising_loss(denoise, latent, context, timesteps, noise, ALPHAS_CUMPROD)


def train_motion(folder: Path, weights: Path, seed: int, steps: int) -> None:
    """Train the motion module on clips, with the finished image model frozen."""
    from ..host import tiny
    from ..host.motion import run_options
    from ..motion.files import write_motion_file
    from ..motion.module import MotionModule

    image = ImageModel(tiny.new_unet(seed), tiny.new_text_model(seed), tiny.tokenise).requires_grad_(False).eval()
    for part in ("unet", "text"):
        stored = load_file(weights / f"{part}.safetensors")
        getattr(image, part).load_state_dict({name: weight.float() for name, weight in stored.items()})
    torch.manual_seed(seed)
    network = MotionModule(tiny.MOTION_CONFIG)
    for site in network.sites().values():
        site.reset_output()
    options = run_options(network, image.unet, world.FRAMES)
    stage = Stage("motion", network, lambda step: motion_loss(network, image, options, seed, step), steps, 1e-3)
    trained = {name: weight.half() for name, weight in train(stage, folder).items()}
    write_motion_file(weights / "motion.safetensors", trained, family="AnimateDiff", schedule="AnimateDiff",
                      config=tiny.MOTION_CONFIG)


STAGES = {"codec": train_codec, "image": train_image, "motion": train_motion}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", default=list(STAGES), choices=list(STAGES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("output") / "train-demo", help="where checkpoints go")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where finished weights go")
    parser.add_argument("--codec-steps", type=int, default=4_000)
    parser.add_argument("--image-steps", type=int, default=14_000)
    parser.add_argument("--motion-steps", type=int, default=6_000)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.stages:
        STAGES[name](arguments.folder, arguments.weights, arguments.seed, getattr(arguments, f"{name}_steps"))


if __name__ == "__main__":
    main()

"""Train the demo model's motion module on cached clips, with the finished image model frozen.

    python standalone.py tools.demo.motion_training --folder FOLDER [--minutes N] [--clips N]
    python standalone.py tools.demo.motion_training --folder FOLDER --finish STEPS

The folder has to hold the codec's, the UNet's and the text encoder's `weights`. It goes on and is finished as the image
model is.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ...demo import network
from ...demo.files import OWN_MOTION, TEXT, UNET
from ...demo.scenes import FRAMES
from ...motion.files import write_motion_file
from ...motion.module import MotionConfig, MotionModule
from ...training.fingerprint import digest, of_files
from ...training.seeds import seeded
from .command_line import train_from_command_line
from .denoising import ALPHAS_CUMPROD, denoising_loss, generator
from .image_training import MOMENTS, ImageModel, captions_of, new_model
from .latent_cache import BLOCK, LATENT, Cache, Source, cached, load_codec
from .sessions import Plan, Sitting, run, stage_of
from .sheets import PROMPTS, Looks, sample

SHOWN = PROMPTS[:4]
TESTED = 24
"""Clips never seen that errors are measured on."""
STRIDE = 2
"""Frames of a clip from one picture of a sheet to the next."""


def pace_for(device: torch.device) -> tuple[int, float]:
    """Return the clips of a step and the rate that suit a device."""
    return (2, 4e-3) if device.type == "cpu" else (16, 1e-3)


def finished_image_model(weights: Path) -> ImageModel:
    """Return the image model in a folder of weights, frozen."""
    image = new_model(0)
    for part, name in ((image.unet, UNET), (image.text, TEXT)):
        part.load_state_dict({key: weight.float() for key, weight in load_file(weights / name).items()})
    return image.requires_grad_(False).eval()


def new_motion(seed: int, config: MotionConfig = network.MOTION) -> MotionModule:
    """Build a motion module that changes nothing yet."""
    with seeded(seed):
        module = MotionModule(config)
    for site in module.sites().values():
        site.reset_output()
    return module.requires_grad_(True)


class Moving:
    """The frozen UNet with a motion module in it, on whole clips."""

    def __init__(self, image: ImageModel, module: MotionModule) -> None:
        from ...host.motion import run_options
        from ...host.training.network import ATTENTION, attend

        self.unet = image.unet
        on_cpu = next(module.parameters()).device.type == "cpu"
        if on_cpu:
            module.attend_in_products()
        self.options = {**run_options(module, image.unet, FRAMES), ATTENTION: partial(attend, on_cpu=on_cpu)}

    def __call__(self, z: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """Return v of clips, (b f) c h w."""
        return self.unet(z, timesteps, context, transformer_options=dict(self.options))


# The data of a step, and its loss.

def motion_loss(image: ImageModel, moving: Moving, cache: Cache, seed: int, step: int, clips: int) -> Tensor:
    """The denoising loss of cached clips: one timestep a clip, independent noise a frame."""
    rng, random_numbers = random.Random(f"motion {seed} {step}"), generator(seed, step)
    indices = [rng.randrange(cache.source.count) for _ in range(clips)]
    captions = captions_of(cache.source, indices, rng)
    timesteps, hidden = (drawn.repeat_interleave(FRAMES) for drawn in noise_levels(clips, random_numbers))
    with torch.no_grad():
        context = image.context(captions).repeat_interleave(FRAMES, dim=0)
    latent = cache.batch(indices, context.device)
    noise = torch.randn(latent.shape, generator=random_numbers)
    return denoising_loss(moving, latent, context, timesteps, noise, ALPHAS_CUMPROD, alike=False, hidden=hidden)


def noise_levels(clips: int, random_numbers: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw the timestep of each clip, and whether noise hides it altogether.

    Half of the timesteps are drawn by the fifth power of their number: sixteen frames together give the path away
    early, so that words can decide it only where the noise is nearly everything. One clip in five is hidden: there the
    words are all there is to go by, as in the first step of a sampler, whereas even the last timestep of the schedule
    shows some of the path (Lin et al. 2024). The others are drawn evenly, for all that moves but does not travel.
    """
    drawn, kind = torch.rand(2, clips, generator=random_numbers)
    timesteps = (torch.where(kind < 0.3, drawn, drawn ** (1 / 6)) * 1000).long()
    hidden = kind > 0.8
    return torch.where(hidden, 999, timesteps), hidden


@torch.no_grad()
def held_out_errors(image: ImageModel, cache: Cache, module: MotionModule) -> dict[int, float]:
    """Return the mean squared error of v at some timesteps, over the first clips of the cache."""
    moving, rng, found = Moving(image, module), random.Random(1), dict.fromkeys(MOMENTS, 0.0)
    device = next(image.parameters()).device
    for index in range(TESTED):
        latent = cache.batch([index], device)
        context = image.context(captions_of(cache.source, [index], rng)).repeat_interleave(FRAMES, dim=0)
        for number, timestep in enumerate(MOMENTS):
            noise = torch.randn(latent.shape, generator=generator(index, number))
            at = torch.full((FRAMES,), timestep)
            with torch.autocast(device.type, torch.bfloat16):
                error = denoising_loss(moving, latent, context, at, noise, ALPHAS_CUMPROD, alike=False)
            found[timestep] += float(error) / TESTED
    return found


# The run.

def clips(image: ImageModel, module: MotionModule, prompts: tuple[str, ...] = SHOWN, seed: int = 0) -> list[Tensor]:
    """Sample a clip of each prompt, and return some of its frames: latents, f c h w each."""
    made, moving, device = [], Moving(image, module), next(image.parameters()).device
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        for number, prompt in enumerate(prompts):
            said, unsaid = (image.context([text]).expand(FRAMES, -1, -1) for text in (prompt, ""))
            noise = torch.randn((FRAMES, *LATENT), generator=generator(seed, number)).to(device)
            made.append(sample(moving, said, unsaid, noise)[::STRIDE])
    return made


def export(average: dict[str, Tensor], folder: Path) -> None:
    """Write the averaged motion module in half precision, as the demo model's file has it."""
    weights = {name: weight.half() for name, weight in average.items()}
    write_motion_file(folder / OWN_MOTION, weights, family="AnimateDiff", schedule="AnimateDiff", config=network.MOTION)


def train(plan: Plan, count: int, sitting: Sitting, device: torch.device) -> int:
    """Train the motion module for a sitting and export it; return the steps that it has."""
    weights = plan.folder / "weights"
    codec, image = load_codec(weights), finished_image_model(weights).to(device)
    cache, held_out = (cached(plan.folder / "cache", Source(name, clips, True, plan.seed), codec)
                       for name, clips in (("clips", count), ("held-out-clips", BLOCK)))
    module, seed = new_motion(plan.seed).to(device), plan.seed + (plan.finish is not None)
    loss = partial(motion_loss, image, Moving(image, module), cache.to(device), seed, clips=plan.batch)
    contents = {"image model": of_files([weights / UNET, weights / TEXT]), "motion module": digest(network.MOTION)}
    stage = stage_of("motion", module, loss, contents, plan)
    look = Looks(stage.name, module, stage.average, plan.folder, codec, export,
                 partial(held_out_errors, image, held_out), partial(clips, image))
    return run(stage, plan.config(), plan.folder / f"{stage.name}.pt", sitting, look, partial(print, flush=True))


if __name__ == "__main__":
    train_from_command_line(train, pace_for, __doc__, "clips", 12_800)

"""The plain denoising objective on the world: the data of a step, the losses, and the loop.

Every step draws its data from its own number, so a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from ...demo import world
from ...demo.codec import SCALE, encode
from ...demo.files import TEXT, UNET, WEIGHTS
from ...training import ema, loop
from ...training.config import LoopConfig
from ...training.fingerprint import of_code, of_files
from ...training.origin import Origin
from ...training.trainer import Stage
from .stages import Workspace

CODE = ("demo", "tools/demo")
"""Where it is said what the world is, how the demo model is made, and how it is trained."""


def train_network(name: str, network: nn.Module, loss: Callable[[int], Tensor], config: LoopConfig,
                  workspace: Workspace, *needed: str) -> dict[str, Tensor]:
    """Train all of `network`, from its checkpoint if there is one; return the averaged weights.

    Args:
        needed: Files of the demo model that the loss knows, in the folder of its weights.
    """
    parameters = dict(network.named_parameters())
    stage = Stage(name, parameters, loss, parameters, ema.copies(parameters), origin=origin(workspace, *needed))
    run_loop(name, stage, config, workspace.checkpoints)
    return stage.average


def origin(workspace: Workspace, *needed: str) -> Origin:
    """Return what a training on the world is made from: its seed, the code, and files of the demo model."""
    weights = {name.removesuffix(".safetensors"): of_files([workspace.weights / name]) for name in needed}
    return Origin({"seed": workspace.seed}).and_contents(code_of_demo=of_code(*CODE), **weights)


def run_loop(name: str, stage: Stage, config: LoopConfig, folder: Path) -> list[float]:
    """Run a stage to its end, from its checkpoint in `folder` if there is one; return the losses of this session."""
    bar, smooth, losses = tqdm(total=config.steps, desc=name, mininterval=5), None, []
    with bar:
        for report in loop.train(stage, config, folder / f"{name}.pt"):
            smooth = report.loss if smooth is None else 0.98 * smooth + 0.02 * report.loss
            losses.append(report.loss)
            # A resumed run begins where it was; what came before counts for no pace.
            if len(losses) == 1:
                bar.n = bar.last_print_n = bar.initial = report.step - 1
            bar.set_postfix(loss=f"{smooth:.4f}", refresh=False)
            bar.update()
        if not losses:
            bar.n = config.steps
            bar.write(f"{name}: {loop.nothing_left(config)}")
    return losses


def recipe(steps: int, learning_rate: float, average: float = 0.999) -> LoopConfig:
    """Return how the demo is trained: the rate falls to zero, and the averaged weights are the result."""
    return LoopConfig(steps, learning_rate, rate="cosine", warmup=min(100, steps // 2), betas=(0.9, 0.99),
                      weight_decay=1e-3, ema=average, ema_warmup=True)


# The data of a step.

def scenes(seed: int, step: int, count: int) -> tuple[list[world.Scene], random.Random]:
    rng = random.Random(f"{seed} {step}")
    return [world.random_scene(rng) for _ in range(count)], rng


def frames_of(batch: Iterable[world.Scene], rng: random.Random) -> Tensor:
    """Draw one random frame of each scene: (b, 3, h, w), 0 to 1."""
    return torch.cat([world.draw(*moment) for moment in moments_of(batch, rng)])


def moments_of(batch: Iterable[world.Scene], rng: random.Random) -> list[tuple[world.Scene, Tensor]]:
    """Return each scene with one random centre of its path, (1, 2)."""
    paths = [(scene, world.positions(scene)) for scene in batch]
    return [(scene, path[rng.randrange(len(path))].unsqueeze(0)) for scene, path in paths]


def captions_of(batch: Iterable[world.Scene], rng: random.Random) -> list[str]:
    """Say what the scenes show; one in ten stays unsaid, for guidance."""
    return ["" if rng.random() < 0.1 else world.caption(scene, rng) for scene in batch]


def generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 10_000_019 + step)


# The losses.

def denoising_loss(network: Callable[[Tensor, Tensor, Tensor], Tensor], latent: Tensor, context: Tensor,
                   timesteps: Tensor, noise: Tensor, alphas_cumprod: Tensor, alike: bool = True,
                   hidden: Tensor | None = None) -> Tensor:
    """Mean squared error of the predicted v at `timesteps` (Salimans & Ho 2022), where the context is.

    The random numbers come from the CPU, so that they are the same everywhere.

    Args:
        network: From z (b c h w), timesteps (b,) and context (b n d) to v.
        latent: Clean latents in the UNet's scale, (b, c, h, w).
        timesteps: Training timesteps, 0 to 999, (b,).
        alike: Whether an error counts over what it usually is at its timestep. Else the strongest noise gives most of
            the gradient of images: its error is ten times that of the middle, where the few-step model ends, and mostly
            chance (Karras et al. 2024 learn what is usual; here it is a curve through a finished model's errors).
        hidden: Where z is noise alone, (b,) of bool, as what a sampler begins with.
    """
    alpha = alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    signal, sigma = alpha.sqrt(), (1 - alpha).sqrt()
    z, v = signal * latent + sigma * noise, signal * noise - sigma * latent
    if hidden is not None:
        # v is what leads from z to the clean latent, whether z shows any of it or not.
        blind = hidden.view(-1, 1, 1, 1)
        z, v = torch.where(blind, noise, z), torch.where(blind, (signal * noise - latent) / sigma, v)
    z, v, timesteps = (tensor.to(context.device) for tensor in (z, v, timesteps))
    errors = (network(z, timesteps.float(), context).float() - v).square().mean((1, 2, 3))
    return (errors / (1 / 3 + 4 * (timesteps / 1000) ** 4) if alike else errors).mean()


def alphas_cumprod() -> Tensor:
    """Return AnimateDiff's schedule, linear in beta, for 1000 timesteps."""
    return (1 - torch.linspace(0.00085, 0.012, 1000, dtype=torch.float64)).cumprod(0).float()


ALPHAS_CUMPROD = alphas_cumprod()


class ImageModel(nn.Module):
    """The image model and its text encoder, trained together."""

    def __init__(self, unet: nn.Module, text: nn.Module, tokenise: Callable[[str], list[int]]) -> None:
        super().__init__()
        self.unet, self.text, self.tokenise = unet, text, tokenise

    def context(self, captions: list[str]) -> Tensor:
        tokens = torch.tensor([self.tokenise(caption) for caption in captions])
        return self.text(tokens.to(next(self.text.parameters()).device))[0]


def device() -> torch.device:
    """Return where the host computes."""
    from comfy.model_management import get_torch_device

    return get_torch_device()


def finished_image_model(weights: Path = WEIGHTS) -> ImageModel:
    """Return the image model with its stored weights, frozen, where the host computes."""
    from ...demo import model as demo_model

    image = ImageModel(demo_model.new_unet(0), demo_model.new_text_model(0), demo_model.tokenise)
    image = image.requires_grad_(False).eval()
    for part, file in (("unet", UNET), ("text", TEXT)):
        stored = load_file(weights / file)
        getattr(image, part).load_state_dict({name: weight.float() for name, weight in stored.items()})
    return image.to(device())


def latents_of(frames: Tensor) -> Tensor:
    """Return the latents, in the UNet's scale, of frames with values 0 to 1."""
    return encode(frames * 2 - 1) * SCALE


def image_loss(model: ImageModel, seed: int, step: int, batch: int = 16,
               style: Callable[[Tensor], Tensor] = lambda frames: frames) -> Tensor:
    """The denoising loss of single frames, with every tenth caption left empty.

    Args:
        style: Changes frames b c h w, values 0 to 1.
    """
    chosen, rng = scenes(seed, step, batch)
    random_numbers = generator(seed, step)
    latent = latents_of(style(frames_of(chosen, rng)))
    captions = captions_of(chosen, rng)
    timesteps = torch.randint(0, 1000, (batch,), generator=random_numbers)
    noise = torch.randn(latent.shape, generator=random_numbers)
    return denoising_loss(model.unet, latent, model.context(captions), timesteps, noise, ALPHAS_CUMPROD)


def motion_loss(image: ImageModel, options: dict, seed: int, step: int, clips: int = 2,
                render: Callable[[world.Scene], Tensor] = world.render) -> Tensor:
    """The denoising loss of whole clips: one timestep a clip, independent noise a frame.

    Half of the timesteps are drawn by the fifth power of their number: sixteen frames together give the path away
    early, so that words can decide it only where the noise is nearly everything. One in five is the last, with noise
    alone: there the words are all there is to go by, as in the first step of a sampler, whereas even the last timestep
    of the schedule shows some of the path (Lin et al. 2024). The others are drawn evenly: without them the last steps
    would leave specks, and colours that flicker. The errors are not weighed alike, which would take the strongest noise
    its part again: objects then move another way than their trail and light say.

    Args:
        options: The UNet's transformer_options, with the motion module in them.
        render: Draws a scene's clip, f c h w, values 0 to 1.
    """
    chosen, rng = scenes(seed, step, clips)
    random_numbers = generator(seed, step)
    latent = latents_of(torch.cat([render(scene) for scene in chosen]))
    captions = captions_of(chosen, rng)
    drawn, noisy = torch.rand(2, clips, generator=random_numbers)
    timesteps = (torch.where(noisy < 0.3, drawn, drawn ** (1 / 6)) * 1000).long()
    hidden = noisy > 0.8
    timesteps = torch.where(hidden, 999, timesteps).repeat_interleave(world.FRAMES)
    noise = torch.randn(latent.shape, generator=random_numbers)
    with torch.no_grad():
        context = image.context(captions).repeat_interleave(world.FRAMES, dim=0)

    def denoise(z: Tensor, t: Tensor, c: Tensor) -> Tensor:
        return image.unet(z, t, c, transformer_options=dict(options))

    return denoising_loss(denoise, latent, context, timesteps, noise, ALPHAS_CUMPROD, alike=False,
                          hidden=hidden.repeat_interleave(world.FRAMES))

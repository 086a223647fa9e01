"""Train the demo model from nothing: codec, image model, motion module, ControlNet, by plain denoising.

    python dev.py train-demo        about three hours on two cores; killed and started again, it goes on where it was

Every step draws its data from its own number, so a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ..training import ema, loop
from ..training.config import LoopConfig
from ..training.loop import Stage
from . import layout, world
from .codec import SCALE, Codec, encode

WEIGHTS = Path(__file__).parent / "weights"
"""Where the finished weights go."""


def train(name: str, network: nn.Module, loss: Callable[[int], Tensor], config: LoopConfig, folder: Path
          ) -> dict[str, Tensor]:
    """Train all of `network`, from its checkpoint in `folder` if there is one; return the averaged weights."""
    parameters = dict(network.named_parameters())
    stage = Stage(name, parameters, loss, parameters, ema.copies(parameters))
    bar, smooth = tqdm(total=config.steps, desc=name, mininterval=5), None
    with bar:
        for report in loop.train(stage, config, folder / f"{name}.pt"):
            smooth = report.loss if smooth is None else 0.98 * smooth + 0.02 * report.loss
            # A resumed run begins where it was.
            bar.initial = bar.initial if bar.n else report.step - 1
            bar.set_postfix(loss=f"{smooth:.4f}", refresh=False)
            bar.update(report.step - bar.n)
    return stage.average


def recipe(steps: int, learning_rate: float, average: float = 0.999) -> LoopConfig:
    """Return how the demo is trained: the rate falls to zero, and the averaged weights are the result."""
    return LoopConfig(steps, learning_rate, rate="cosine", warmup=min(100, steps // 2), betas=(0.9, 0.99),
                      weight_decay=1e-3, ema=average, ema_warmup=True)


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
    return torch.cat([world.draw(*moment) for moment in moments_of(batch, rng)])


def moments_of(batch: Iterable[world.Scene], rng: random.Random) -> list[tuple[world.Scene, Tensor]]:
    """Return each scene with one random centre of its path, (1, 2)."""
    paths = [(scene, world.positions(scene)) for scene in batch]
    return [(scene, centres[rng.randrange(len(centres))].unsqueeze(0)) for scene, centres in paths]


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


def finished_image_model(weights: Path = WEIGHTS) -> ImageModel:
    """Return the image model with its stored weights, frozen."""
    from ..host import tiny

    image = ImageModel(tiny.new_unet(0), tiny.new_text_model(0), tiny.tokenise).requires_grad_(False).eval()
    for part in ("unet", "text"):
        stored = load_file(weights / f"{part}.safetensors")
        getattr(image, part).load_state_dict({name: weight.float() for name, weight in stored.items()})
    return image


def image_loss(model: ImageModel, seed: int, step: int, batch: int = 16, unconditional: float = 0.1,
               controlled: nn.Module | None = None) -> Tensor:
    """The denoising loss of single frames.

    Args:
        unconditional: Share of the frames whose caption is left out.
        controlled: The model's UNet with a ControlNet, which is told by a `hint` where the object is.
    """
    chosen, rng = scenes(seed, step, batch)
    random_numbers = generator(seed, step)
    moments = moments_of(chosen, rng)
    latent = encode(torch.cat([world.draw(*moment) for moment in moments]) * 2 - 1) * SCALE
    captions = ["" if rng.random() < unconditional else world.caption(scene, rng) for scene in chosen]
    timesteps = torch.randint(0, 1000, (batch,), generator=random_numbers)
    noise = torch.randn(latent.shape, generator=random_numbers)
    network = model.unet
    if controlled is not None:
        network = partial(controlled, hint=torch.cat([layout.hints(*moment) for moment in moments]))
    return denoising_loss(network, latent, model.context(captions), timesteps, noise, ALPHAS_CUMPROD)


ALPHAS_CUMPROD = alphas_cumprod()


def train_codec(folder: Path, weights: Path, seed: int, steps: int) -> None:
    torch.manual_seed(seed)
    codec = Codec()
    trained = train("codec", codec, lambda step: codec_loss(codec, seed, step), recipe(steps, 2e-3, 0.995), folder)
    write_weights(weights, "codec", trained)


def train_image(folder: Path, weights: Path, seed: int, steps: int) -> None:
    from ..host import tiny

    model = ImageModel(tiny.new_unet(seed), tiny.new_text_model(seed), tiny.tokenise)
    model.requires_grad_(True).train()
    trained = train("image", model, lambda step: image_loss(model, seed, step), recipe(steps, 1e-3), folder)
    for part in ("unet", "text"):
        write_weights(weights, part, {name.removeprefix(f"{part}."): weight
                                      for name, weight in trained.items() if name.startswith(f"{part}.")})


def motion_loss(network: nn.Module, image: ImageModel, options: dict, seed: int, step: int, clips: int = 2) -> Tensor:
    """The denoising loss of whole clips: one timestep a clip, independent noise a frame.

    Noisy timesteps are drawn more often, by the fifth power of their number: sixteen frames together give the path
    away early, so that words can decide it only where the noise is nearly everything.
    """
    chosen, rng = scenes(seed, step, clips)
    random_numbers = generator(seed, step)
    latent = encode(torch.cat([world.render(scene) for scene in chosen]) * 2 - 1) * SCALE
    captions = ["" if rng.random() < 0.1 else world.caption(scene, rng) for scene in chosen]
    timesteps = (torch.rand(clips, generator=random_numbers) ** (1 / 6) * 1000).long().repeat_interleave(world.FRAMES)
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

    image = finished_image_model(weights)
    torch.manual_seed(seed)
    network = MotionModule(tiny.MOTION_CONFIG)
    for site in network.sites().values():
        site.reset_output()
    options = run_options(network, image.unet, world.FRAMES)
    trained = train("motion", network, lambda step: motion_loss(network, image, options, seed, step),
                    recipe(steps, 1e-3), folder)
    trained = {name: weight.half() for name, weight in trained.items()}
    write_motion_file(weights / "motion.safetensors", trained, family="AnimateDiff", schedule="AnimateDiff",
                      config=tiny.MOTION_CONFIG)


def train_layout(folder: Path, weights: Path, seed: int, steps: int) -> None:
    """Train a ControlNet to place the object, with the finished image model frozen.

    Half of the captions are left out, so that it learns to see what the silhouette shows (Zhang et al. 2023). Its file
    is marked as an addition to a UNet: so the stock loader takes the layout from the MODEL and not from a list.
    """
    from ..host import tiny
    from ..host.control_nets import ADDITION
    from ..host.trainable import Trainable

    image = finished_image_model(weights)
    control_net = tiny.new_control_net(image.unet, seed).requires_grad_(True).train()
    controlled = Trainable(image.unet, control=control_net)
    trained = train("layout", control_net, lambda step: image_loss(image, seed, step, unconditional=0.5,
                                                                   controlled=controlled),
                    recipe(steps, 1e-3), folder)
    path = weights.parent / "models" / layout.FILE
    write_weights(path.parent, path.stem, {ADDITION: torch.zeros(0), **trained})


STAGES = {"codec": train_codec, "image": train_image, "motion": train_motion, "layout": train_layout}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", default=list(STAGES), choices=list(STAGES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("output") / "train-demo", help="where checkpoints go")
    parser.add_argument("--weights", type=Path, default=WEIGHTS,
                        help="where finished weights go; the ControlNet's file goes to the folder models beside it")
    parser.add_argument("--codec-steps", type=int, default=4_000)
    parser.add_argument("--image-steps", type=int, default=14_000)
    parser.add_argument("--motion-steps", type=int, default=6_000)
    parser.add_argument("--layout-steps", type=int, default=4_000)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.stages:
        STAGES[name](arguments.folder, arguments.weights, arguments.seed, getattr(arguments, f"{name}_steps"))


if __name__ == "__main__":
    main()

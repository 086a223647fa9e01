"""Train the demo model from nothing, with the plain denoising objective: codec, image model, motion module.

    python dev.py train-demo        about three hours on two cores; killed and started again, it goes on where it was

Then follow what the examples put beside it: "pastel", a LoRA with another palette, and "sway", a motion LoRA,
and "layout", a ControlNet.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from . import layout, styles, world
from .codec import SCALE, Codec, encode
from .denoising import (
    ImageModel,
    finished_image_model,
    frames_of,
    generator,
    image_loss,
    motion_loss,
    recipe,
    scenes,
    train,
)
from .files import WEIGHTS
from .stages import arguments


def write_weights(folder: Path, name: str, weights: dict[str, Tensor]) -> None:
    """Store the weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    halved = {key: value.half().contiguous() for key, value in weights.items()}
    save_file(halved, folder / f"{name}.safetensors")


def codec_loss(codec: Codec, seed: int, step: int, batch: int = 8) -> Tensor:
    """Mean absolute error of the decoded frames, from latents as imperfect as a sampler's."""
    chosen, rng = scenes(seed, step, batch)
    image = frames_of(chosen, rng) * 2 - 1
    latent = encode(image)
    noise = torch.randn(latent.shape, generator=generator(seed, step)) * 0.05 / SCALE
    return F.l1_loss(codec.decode(latent + noise * rng.random()), image)


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
    trained = train("motion", network, lambda step: motion_loss(image, options, seed, step),
                    recipe(steps, 1e-3), folder)
    trained = {name: weight.half() for name, weight in trained.items()}
    write_motion_file(weights / "motion.safetensors", trained, family="AnimateDiff", schedule="AnimateDiff",
                      config=tiny.MOTION_CONFIG)


STAGES = {"codec": train_codec, "image": train_image, "motion": train_motion, "pastel": styles.train_pastel,
          "sway": styles.train_sway, "layout": layout.train_layout}
STEPS = {"codec": 4_000, "image": 14_000, "motion": 6_000, "pastel": 400, "sway": 600, "layout": 1_500}


def main() -> None:
    chosen = arguments(__doc__.splitlines()[0], STEPS, Path("output") / "train-demo",
                       weights={"type": Path, "default": WEIGHTS, "help": "where the demo model's finished weights go"})
    for name in chosen.stages:
        STAGES[name](chosen.folder, chosen.weights, chosen.seed, getattr(chosen, f"{name}_steps"))


if __name__ == "__main__":
    main()

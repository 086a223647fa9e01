"""Train everything that is embedded from nothing: the demo model, and the files that go with it.

    python dev.py train-demo        about four hours on two cores; killed and started again, it goes on where it was

With the plain denoising objective, the codec, the image model and the motion module, and what the examples put beside
them: "pastel", a LoRA with another palette, "sway", a motion LoRA, and "layout", a ControlNet. Then that model is
distilled into one that needs four steps: "lora", "t2v" and "i2v" are the paper's three stages, and "adapted" is the
ControlNet tuned to the result.

Nothing that is embedded changes: all goes to the folder, whose `weights` and `models` can take the place of those here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from ...demo import world
from ...demo.codec import SCALE, Codec, encode
from ...demo.files import OWN_MOTION, TEXT, UNET
from ...storage.atomic import replacing
from ...training.seeds import seeded
from . import distil, layout, styles
from .denoising import (
    ImageModel,
    device,
    finished_image_model,
    frames_of,
    generator,
    image_loss,
    motion_loss,
    recipe,
    scenes,
    train_network,
)
from .stages import Workspace, arguments


def write_weights(folder: Path, name: str, weights: dict[str, Tensor]) -> None:
    """Store the weights in half precision."""
    halved = {key: value.half().contiguous() for key, value in weights.items()}
    with replacing(folder / f"{name}.safetensors") as unfinished:
        save_file(halved, unfinished)


def codec_loss(codec: Codec, seed: int, step: int, batch: int = 8) -> Tensor:
    """Mean absolute error of the decoded frames, from latents as imperfect as a sampler's."""
    chosen, rng = scenes(seed, step, batch)
    image = frames_of(chosen, rng) * 2 - 1
    latent = encode(image)
    noise = torch.randn(latent.shape, generator=generator(seed, step)) * 0.05 / SCALE
    noisy = (latent + noise * rng.random()).to(codec.conv_in.weight.device)
    return F.l1_loss(codec.decode(noisy), image.to(noisy))


def train_codec(workspace: Workspace, steps: int) -> None:
    with seeded(workspace.seed):
        codec = Codec().to(device())
    trained = train_network("codec", codec, lambda step: codec_loss(codec, workspace.seed, step),
                            recipe(steps, 2e-3, 0.995), workspace)
    write_weights(workspace.weights, "codec", trained)


def train_image(workspace: Workspace, steps: int) -> None:
    from ...demo import model as demo_model

    unet, text = demo_model.new_unet(workspace.seed), demo_model.new_text_model(workspace.seed)
    model = ImageModel(unet, text, demo_model.tokenise)
    model.to(device()).requires_grad_(True).train()
    trained = train_network("image", model, lambda step: image_loss(model, workspace.seed, step), recipe(steps, 1e-3),
                            workspace)
    for part in ("unet", "text"):
        write_weights(workspace.weights, part, {name.removeprefix(f"{part}."): weight
                                            for name, weight in trained.items() if name.startswith(f"{part}.")})


def train_motion(workspace: Workspace, steps: int) -> None:
    """Train the motion module on clips, with the finished image model frozen."""
    from ...demo import model as demo_model
    from ...host.motion import run_options
    from ...motion.files import write_motion_file
    from ...motion.module import MotionModule

    image = finished_image_model(workspace.weights)
    with seeded(workspace.seed):
        network = MotionModule(demo_model.MOTION_CONFIG)
    for site in network.sites().values():
        site.reset_output()
    network.to(device())
    options = run_options(network, image.unet, world.FRAMES)
    trained = train_network("motion", network, lambda step: motion_loss(image, options, workspace.seed, step),
                            recipe(steps, 1e-3), workspace, UNET, TEXT)
    trained = {name: weight.half() for name, weight in trained.items()}
    write_motion_file(workspace.weights / OWN_MOTION, trained, family="AnimateDiff", schedule="AnimateDiff",
                      config=demo_model.MOTION_CONFIG)


STAGES: dict[str, tuple[Callable[[Workspace, int], None], int]] = {
    "codec": (train_codec, 4_000), "image": (train_image, 10_000), "motion": (train_motion, 6_000),
    "pastel": (styles.train_pastel, 400), "sway": (styles.train_sway, 600), "layout": (layout.train_layout, 1_500),
    **{name: (partial(distil.train_stage, name), recipe.steps) for name, recipe in distil.RECIPES.items()},
}
"""What trains each stage, and for how many steps; each needs those before it."""


def main() -> None:
    steps = {name: count for name, (_, count) in STAGES.items()}
    chosen, workspace = arguments(__doc__.splitlines()[0], steps, Path("output") / "train-demo")
    for number, (name, count) in enumerate(chosen.items(), 1):
        print(f"Stage {number} of {len(chosen)}: {name}", flush=True)
        try:
            STAGES[name][0](workspace, count)
        except FileNotFoundError as error:
            raise SystemExit(f"stage {name} needs what an earlier stage makes: {error}. Run that one first, or name "
                             "the folders that have it with --weights and --models") from error


if __name__ == "__main__":
    main()

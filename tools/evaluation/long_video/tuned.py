"""Tune the demo model's few-step motion module to the rolling sampler, on clips of its own or of the world."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import trange

from ....demo.captions import caption
from ....demo.scenes import random_scene
from ....storage.atomic import replacing
from ....training.config import TrainingConfig
from ....training.draws import Examples, Source
from ....training.fingerprint import of_files
from ....training.origin import Origin
from ...demo.distil import SCHEDULE, settings, write_motion_half
from ...demo.sampler import FEW_STEP_SETTINGS, DemoSampler, Parts, with_lora
from ..trainings import SEED, data, run_in
from .ways import OWN, Way

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

CLIPS = 120
"""Clips that the model makes itself to be tuned on."""
STEPS, RATE = 200, 2e-4
CODE = "tools/evaluation/long_video/tuned.py", "tools/evaluation/trainings.py"
"""What tunes, beside the packages that know how."""
NOISE = 5_000_000
"""Seed of the first clip's noise, far from those of the clips that are measured."""


@dataclass(frozen=True)
class OwnClips:
    """Clips that a few-step model has made, with their prompts, as data of a training."""

    file: Path
    context: Callable[[list[str]], Tensor]
    """Encodes captions, b n d."""

    def origin(self) -> Origin:
        """Return what the batches of a run are made from."""
        return Origin().and_contents(data=of_files([self.file]))

    def source(self, model: ModelPatcher, config: TrainingConfig, device: torch.device) -> Source:
        """Return the batches of a run."""
        latents, captions = load_file(self.file)["latents"], prompts()

        def batch(number: int) -> Examples:
            rng = random.Random(f"own clips {config.seed} {number}")
            chosen = [rng.randrange(len(latents)) for _ in range(config.batch)]
            return Examples(latents[chosen].float().to(device),
                            self.context([captions[index] for index in chosen]).to(device))
        return batch

    def empty(self) -> Tensor:
        """Return the encoded empty caption, 1 n d."""
        return self.context([""])


def prompts() -> list[str]:
    """Return the prompts of the clips that the model makes itself."""
    rng = random.Random("own clips")
    return [caption(random_scene(rng)) for _ in range(CLIPS)]


def make_clips(parts: Parts, file: Path) -> None:
    """Write clips of a few-step model as latents in the UNet's scale, n f 4 h w."""
    sampler, found, captions = DemoSampler(parts), [], prompts()
    latent_format = sampler.model.get_model_object("latent_format")
    for number in trange(CLIPS, desc="own clips", mininterval=5):
        made = sampler.latents(captions[number], NOISE + number, FEW_STEP_SETTINGS)
        found.append(latent_format.process_in(made).half())
    with replacing(file) as unfinished:
        save_file({"latents": torch.stack(found)}, unfinished)


def tuned(way: Way, parts: Parts, folder: Path) -> Parts:
    """Return the files of a few-step model for a way, tuned to it unless they lie in the folder already.

    Args:
        parts: The distilled files.
    """
    from ....demo.model import load_demo_model
    from ....host.motion import load_motion
    from ....host.training.runs import Request, tune_motion_module

    assert parts.motion is not None
    path, world = folder / f"{way.tuned_on}-{way.steps}.safetensors", data(folder)
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        own = folder / "clips.safetensors"
        if way.tuned_on == OWN and not own.is_file():
            make_clips(parts, own)
        config = settings("i2v", STEPS, SEED)
        config = replace(config, loop=replace(config.loop, learning_rate=RATE))
        model = load_demo_model()[0]
        for lora in parts.loras:
            model = with_lora(model, lora)
        motion, _ = tune_motion_module(
            model, load_motion(parts.motion), OwnClips(own, world.context) if way.tuned_on == OWN else world,
            Request(config, SCHEDULE, path.stem).for_rolling(way.steps), run_in(folder, path.stem))
        write_motion_half(motion, path)
    return replace(parts, motion=path)

"""Measure how well the demo model obeys its prompts, as the world's detector sees it.

    python dev.py obedience --prompts 120               the demo model, in 25 guided steps
    python dev.py obedience --prompts 120 --few-steps   after it was distilled, in 4 steps without guidance
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchvision.utils import save_image
from tqdm import tqdm

from . import world
from .detector import detect
from .files import LORA, MODELS, MOTION

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


@dataclass(frozen=True)
class Settings:
    """How a clip is sampled."""

    steps: int = 25
    cfg: float = 3.0
    sampler: str = "euler"
    scheduler: str = "normal"
    frames: int = world.FRAMES


FEW_STEPS = Settings(4, 1.0, "lcm", "simple")


class DemoSampler:
    """The demo model with its motion module, in one process, as the stock nodes would run it.

    Args:
        motion: Another motion file.
        lora: A spatial LoRA, at strength 1.
    """

    def __init__(self, motion: Path | None = None, lora: Path | None = None) -> None:
        from ..host.folders import EMBEDDED, motion_path
        from ..host.motion import apply_motion, load_motion
        from ..host.tiny import load_demo_model
        from ..samplers.schedules import SCHEDULES

        model, self.clip, self.vae = load_demo_model()
        if lora is not None:
            model = with_lora(model, lora)
        loaded = load_motion(motion or motion_path(EMBEDDED))
        self.model = apply_motion(model, loaded, 1.0, SCHEDULES[loaded.schedule])

    def __call__(self, prompt: str, seed: int, settings: Settings) -> Tensor:
        """Return the clip, (f, 3, h, w), values 0 to 1."""
        import comfy.sample

        side = world.SIZE // 8
        latent = torch.zeros(settings.frames, 4, side, side)
        with torch.inference_mode():
            samples = comfy.sample.sample(
                self.model, comfy.sample.prepare_noise(latent, seed), settings.steps, settings.cfg, settings.sampler,
                settings.scheduler, self._encode(prompt), self._encode(""), latent, seed=seed, disable_pbar=True)
            return self.vae.decode(samples).permute(0, 3, 1, 2)

    def _encode(self, prompt: str) -> list:
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(prompt))


def with_lora(model: ModelPatcher, path: Path) -> ModelPatcher:
    """Return a clone of a MODEL with a LoRA at strength 1.

    Raises:
        ValueError: A layer of the LoRA has no place in the MODEL, which the host only logs.
    """
    import comfy.sd
    import comfy.utils

    tensors = comfy.utils.load_torch_file(str(path), safe_load=True)
    patched, _ = comfy.sd.load_lora_for_models(model, None, tensors, 1.0, 0.0)
    layers, used = sum(key.endswith("lora_up.weight") for key in tensors), len(patched.patches) - len(model.patches)
    if used != layers or not layers:
        raise ValueError(f"{path.name} has {layers} LoRA layers, and {used} of them fit this model")
    return patched


def measure(sample: DemoSampler, prompts: int, seed: int, settings: Settings, sheet: Path | None) -> dict[str, float]:
    """Return the share of prompts whose clip shows the named colour, shape, direction and background."""
    rng = random.Random(seed)
    hits = dict.fromkeys(("colour", "shape", "direction", "background"), 0)
    rows = []
    for number in tqdm(range(prompts), desc="clips", mininterval=5):
        scene = world.random_scene(rng)
        clip = sample(world.caption(scene), seed + number, settings)
        seen = detect(clip)
        for name in hits:
            hits[name] += getattr(seen, name) == getattr(scene, name)
        if number < 16:
            rows.append(clip[::3])
    if sheet is not None:
        save_image(torch.cat(rows), sheet, nrow=12)
    return {name: round(count / prompts, 4) for name, count in hits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--few-steps", action="store_true", help="with the distilled LoRA and motion module")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cfg", type=float)
    parser.add_argument("--sampler")
    parser.add_argument("--scheduler")
    parser.add_argument("--sheet", type=Path, help="where to write a contact sheet of the first clips")
    arguments = parser.parse_args()
    given = {name: value for name in ("steps", "cfg", "sampler", "scheduler")
             if (value := getattr(arguments, name)) is not None}
    settings = replace(FEW_STEPS if arguments.few_steps else Settings(), **given)
    sampler = DemoSampler(MODELS / MOTION, MODELS / LORA) if arguments.few_steps else DemoSampler()
    shares = measure(sampler, arguments.prompts, arguments.seed, settings, arguments.sheet)
    print(json.dumps({**shares, "prompts": arguments.prompts, "seed": arguments.seed, **vars(settings)}))


if __name__ == "__main__":
    main()

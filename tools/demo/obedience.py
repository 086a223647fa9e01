"""Measure how well the demo model obeys its prompts, as the world's detector sees it.

    python dev.py obedience --prompts 120               the demo model, in 25 guided steps
    python dev.py obedience --prompts 120 --few-steps   after it was distilled, in 4 steps without guidance
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import replace
from pathlib import Path

import torch
from torchvision.utils import save_image
from tqdm import tqdm

from ...demo import world
from ...demo.files import MODELS, WEIGHTS
from .detector import detect
from .sampler import FEW_STEP_SETTINGS, DemoSampler, Parts, Settings, distilled


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
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="another demo model, such as train-demo makes")
    parser.add_argument("--models", type=Path, default=MODELS, help="and what was distilled from it")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cfg", type=float)
    parser.add_argument("--sampler")
    parser.add_argument("--scheduler")
    parser.add_argument("--sheet", type=Path, help="where to write a contact sheet of the first clips")
    arguments = parser.parse_args()
    given = {name: value for name in ("steps", "cfg", "sampler", "scheduler")
             if (value := getattr(arguments, name)) is not None}
    settings = replace(FEW_STEP_SETTINGS if arguments.few_steps else Settings(), **given)
    many, few = Parts(weights=arguments.weights), distilled(arguments.weights, arguments.models)
    sampler = DemoSampler(few if arguments.few_steps else many)
    shares = measure(sampler, arguments.prompts, arguments.seed, settings, arguments.sheet)
    print(json.dumps({**shares, "prompts": arguments.prompts, "seed": arguments.seed, **vars(settings)}))


if __name__ == "__main__":
    main()

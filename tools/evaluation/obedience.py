"""Measure how well the demo model obeys its prompts, and how clean its clips are, beside the world through the codec.

    python dev.py obedience --prompts 100               the demo model, in 25 guided steps
    python dev.py obedience --prompts 100 --few-steps   after it was distilled, in 4 steps without guidance

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median

import torch
from torch import Tensor
from torchvision.utils import save_image
from tqdm import tqdm

from ...demo.captions import caption, read
from ...demo.files import MODELS, WEIGHTS
from ...demo.scenes import Scene, random_scene, render
from ..demo.explained import see
from ..demo.latent_cache import load_codec, through_codec
from ..demo.sampler import FEW_STEP_SETTINGS, DemoSampler, Parts, Settings, distilled
from .motion import unexplained_change
from .obeyed import obeyed

SHOWN = 12
"""Clips of a contact sheet."""


def measure(sample: Callable[[str, int], Tensor], through: Callable[[Scene], Tensor], prompts: int, seed: int,
            sheet: Path | None) -> dict[str, float]:
    """Return what the clips for random prompts show, and what the world's own clips of the same scenes do.

    Args:
        sample: From a prompt and a seed to a clip.
        through: Gives the world's clip of a scene through the codec, which is what a model without fault would make.
        sheet: Where a contact sheet of the first clips is written.

    Returns:
        Shares of clips that obey, mean share of the subject that is right (`explained`), mean change that no movement
        explains (`change`), both of the world's clips too, and the median time that a clip took to sample, in seconds.
    """
    rng, clips, found = random.Random(seed), [], []
    for number in tqdm(range(prompts), desc="clips", mininterval=5):
        scene = random_scene(rng)
        prompt = caption(scene)
        begun = time.perf_counter()
        clip = sample(prompt, seed + number)
        seconds = time.perf_counter() - begun
        seen, world = see(clip), through(scene)
        found.append({**obeyed(seen, read(prompt)), "explained": seen.explained, "change": unexplained_change(clip),
                      "world_explained": see(world).explained, "world_change": unexplained_change(world),
                      "seconds": seconds})
        if number < SHOWN:
            clips.append(clip[::3])
    if sheet is not None:
        save_image(torch.cat(clips), sheet, nrow=len(clips[0]))
    means = {name: fmean(float(one[name]) for one in found) for name in found[0]}
    # Not the mean: another process may take the processor for a while.
    return {name: round(value, 4) for name, value in (means | {"seconds": median(
        one["seconds"] for one in found)}).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=100)
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
    sampler, codec = DemoSampler(few if arguments.few_steps else many), load_codec(arguments.weights)
    shares = measure(lambda prompt, seed: sampler(prompt, seed, settings),
                     lambda scene: through_codec(codec, render(scene).frames), arguments.prompts, arguments.seed,
                     arguments.sheet)
    print(json.dumps({**shares, "prompts": arguments.prompts, "seed": arguments.seed, **vars(settings)}))


if __name__ == "__main__":
    main()

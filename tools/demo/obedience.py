"""Measure how well the demo model obeys its prompts, as `explained.py` sees it.

    python dev.py obedience --prompts 100               the demo model, in 25 guided steps
    python dev.py obedience --prompts 100 --few-steps   after it was distilled, in 4 steps without guidance
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor
from torchvision.utils import save_image
from tqdm import tqdm

from ...demo.captions import Said, caption, read
from ...demo.files import MODELS, WEIGHTS
from ...demo.scenes import random_scene
from ...demo.subjects import NAMES, SUBJECTS
from .explained import Seen, see
from .sampler import FEW_STEP_SETTINGS, DemoSampler, Parts, Settings, distilled

ASKED = ("subject", "way", "backdrop")
"""What a prompt asks for and can be seen."""


def obeyed(seen: Seen, said: Said) -> dict[str, bool]:
    """Return whether a clip shows what a prompt says, for each part that it says."""
    found = {}
    if said.subject is not None:
        found["subject"] = seen.subject == said.subject
    elif said.kind is not None:
        found["subject"] = said.kind in SUBJECTS[NAMES.index(seen.subject)].classes
    if said.way is not None:
        found["way"] = seen.way == said.way
    if said.backdrop is not None:
        found["backdrop"] = seen.backdrop == said.backdrop
    return found


def measure(sample: Callable[[str, int], Tensor], prompts: int, seed: int, sheet: Path | None) -> dict[str, float]:
    """Return the share of prompts whose clip shows what they say, and the mean share of the subject that is right.

    Args:
        sample: From a prompt and a seed to a clip.
        sheet: Where a contact sheet of the first clips is written.
    """
    rng = random.Random(seed)
    clips, found = [], []
    for number in tqdm(range(prompts), desc="clips", mininterval=5):
        prompt = caption(random_scene(rng))
        clip = sample(prompt, seed + number)
        seen = see(clip)
        found.append({**obeyed(seen, read(prompt)), "explained": seen.explained})
        if number < 12:
            clips.append(clip[::3])
    if sheet is not None:
        save_image(torch.cat(clips), sheet, nrow=len(clips[0]))
    return {name: round(fmean(float(one[name]) for one in found), 4) for name in (*ASKED, "explained")}


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
    sampler = DemoSampler(few if arguments.few_steps else many)
    shares = measure(lambda prompt, seed: sampler(prompt, seed, settings), arguments.prompts, arguments.seed,
                     arguments.sheet)
    print(json.dumps({**shares, "prompts": arguments.prompts, "seed": arguments.seed, **vars(settings)}))


if __name__ == "__main__":
    main()

"""Take the pictures of the demo model: what the world shows for some prompts, and what the model makes of them.

    python dev.py demo-pictures [--folder FOLDER] [--seed N]

Writes `demo-model.webp`, a sheet with a row for each of the first scenes of the seed, of which none is chosen: frames
of the world, of 25 guided steps and of 4 steps. In `demo.webp` the clips of 4 steps play for the prompts that a
training shows.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ...demo.captions import caption
from ...demo.scenes import random_scene, render
from .sampler import DISTILLED, FEW_STEP_SETTINGS, DemoSampler, Settings
from .sheets import PROMPTS as SHOWN_IN_TRAINING

DOCS = Path(__file__).resolve().parents[2] / "docs"
PROMPTS = 12
SHOWN = (0, 5, 10, 15)
"""Frames of a clip on the sheet."""
GAP = 8
"""White pixels between the clips of a row."""
ACROSS = 4
"""Clips that play beside one another."""
MILLISECONDS = 125
QUALITY = 75


def sheet(rows: Sequence[Sequence[Tensor]]) -> Image.Image:
    """Put some frames of clips side by side, a row for each sequence of clips (f, 3, h, w), values 0 to 1."""
    lines = []
    for clips in rows:
        parts = [torch.cat(list(clip[list(SHOWN)]), dim=2) for clip in clips]
        gap = torch.ones(3, parts[0].shape[1], GAP)
        lines.append(torch.cat([piece for part in parts for piece in (part, gap)][:-1], dim=2))
    return _image(torch.cat(lines, dim=1))


def playing(clips: Sequence[Tensor], across: int = ACROSS) -> list[Image.Image]:
    """Return the frames in which clips (f, 3, h, w) play beside and below one another; as many as fill the rows."""
    rows = [torch.cat(list(clips[first:first + across]), dim=3)
            for first in range(0, len(clips) - across + 1, across)]
    return [_image(frame) for frame in torch.cat(rows, dim=2)]


def _image(picture: Tensor) -> Image.Image:
    return Image.fromarray((picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DOCS)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    rng = random.Random(chosen.seed)
    scenes = [random_scene(rng) for _ in range(PROMPTS)]
    many, few, rows = DemoSampler(), DemoSampler(DISTILLED), []
    for number, scene in enumerate(tqdm(scenes, desc="prompts")):
        prompt, seed = caption(scene), chosen.seed + number
        rows.append((render(scene).frames, many(prompt, seed, Settings()), few(prompt, seed, FEW_STEP_SETTINGS)))
        print(prompt, flush=True)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    sheet(rows).save(chosen.folder / "demo-model.webp", quality=QUALITY, method=6)
    first, *others = playing([few(prompt, chosen.seed, FEW_STEP_SETTINGS) for prompt in tqdm(SHOWN_IN_TRAINING)])
    first.save(chosen.folder / "demo.webp", save_all=True, append_images=others, duration=MILLISECONDS, loop=0,
               quality=QUALITY, method=6)


if __name__ == "__main__":
    main()

"""Train the demo model's codec, image model and motion module in the time that there is, as one command.

    python standalone.py tools.demo.in_time --folder FOLDER --image-minutes 8 --motion-minutes 8

A stage goes on where it was, for its minutes, and is then finished in a fourth of the steps of this sitting more. What
the folder's `weights` have of the codec is kept.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ...training import checkpoints
from . import codec_training, image_training, motion_training
from .latent_cache import whole
from .sessions import Plan, Sitting

SHARE = 4
"""Steps of a sitting for each step in which it is finished."""


@dataclass(frozen=True)
class Part:
    """A stage, and what it gets."""

    name: str
    train: Callable[[Plan, int, Sitting, torch.device], int]
    pace: tuple[int, float]
    entries: int
    """Of its cache."""
    minutes: float


def go_on_and_finish(part: Part, folder: Path, seed: int, device: torch.device) -> None:
    """Train a stage for its minutes, and finish it."""
    checkpoint, finished = folder / f"{part.name}.pt", folder / f"{part.name}-finish.pt"
    before = checkpoints.load(checkpoint, torch.device("cpu"), mmap=True)["step"] if checkpoint.exists() else 0
    minutes = part.minutes * SHARE / (SHARE + 1)
    steps = part.train(Plan(folder, seed, *part.pace), part.entries, Sitting(minutes), device)
    # The checkpoint of another finish began with other weights.
    finished.unlink(missing_ok=True)
    finish = max(1, (steps - before) // SHARE)
    part.train(Plan(folder, seed, *part.pace, finish), part.entries, Sitting(), device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("output") / "train-demo")
    parser.add_argument("--codec-steps", type=int, default=16_000)
    parser.add_argument("--image-minutes", type=float, default=480)
    parser.add_argument("--motion-minutes", type=float, default=480)
    parser.add_argument("--images", type=int, default=204_800, help="frames in the cache")
    parser.add_argument("--clips", type=int, default=12_800, help="clips in the cache")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not (chosen.folder / "weights" / "codec.safetensors").exists():
        codec_training.train_autoencoder(chosen.codec_steps, chosen.folder, chosen.seed, device)
    for part in (
        Part("image", image_training.train, image_training.pace_for(device), whole(chosen.images),
             chosen.image_minutes),
        Part("motion", motion_training.train, motion_training.pace_for(device), whole(chosen.clips),
             chosen.motion_minutes),
    ):
        begun = time.monotonic()
        print(f"{part.name}: {part.minutes:g} minutes, after its cache", flush=True)
        go_on_and_finish(part, chosen.folder, chosen.seed, device)
        print(f"{part.name}: took {(time.monotonic() - begun) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()

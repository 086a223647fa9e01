"""The command line of a training that goes on over sittings."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from .latent_cache import whole
from .sessions import Plan, Sitting


def train_from_command_line(train: Callable[[Plan, int, Sitting, torch.device], int],
                            pace_for: Callable[[torch.device], tuple[int, float]],
                            description: str | None, entries: str, count: int) -> None:
    """Read the command line and train for a sitting.

    Args:
        pace_for: Gives the batch and the rate that suit a device.
        entries: What the cache holds, the name of its option.
        count: How many of them, where nothing else is said.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("output") / "train-demo")
    parser.add_argument(f"--{entries}", dest="count", type=int, default=count, help=f"{entries} in the cache")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of this sitting")
    parser.add_argument("--finish", type=int, metavar="STEPS", help="let the rate fall to zero over so many steps")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plan = Plan(chosen.folder, chosen.seed, *pace_for(device), chosen.finish)
    train(plan, whole(chosen.count), Sitting(chosen.minutes), device)

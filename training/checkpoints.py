"""Checkpoints of a training run: written whole or not at all, read only into the run that they belong to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor


class CheckpointError(ValueError):
    """A checkpoint belongs to another run, or is damaged."""


def save(path: Path, state: Mapping) -> None:
    """Write `state` so that the file is always a whole checkpoint, the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    try:
        torch.save(dict(state), unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load(path: Path, device: torch.device, mmap: bool = False) -> dict:
    """Read a checkpoint.

    Args:
        mmap: Whether the tensors stay in the file until they are read; `device` has to be the CPU then.

    Raises:
        CheckpointError: It cannot be read.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True, mmap=mmap)
        if not isinstance(state, dict):
            raise TypeError(f"it holds a {type(state).__name__}")
        return state
    except Exception as error:
        raise CheckpointError(f"{path.name} is no readable checkpoint ({error}); remove it to start anew") from error


def history(path: Path) -> list[float]:
    """Return the loss of every step that a checkpoint has behind it; none where there is no checkpoint."""
    return list(load(path, torch.device("cpu"), mmap=True).get("losses", [])) if path.exists() else []


@torch.no_grad()
def fill(path: Path, what: str, weights: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> None:
    """Copy a checkpoint's tensors into `weights`, in place.

    Raises:
        CheckpointError: Names or shapes differ.
    """
    differing = weights.keys() ^ stored.keys()
    differing |= {name for name in weights.keys() & stored.keys() if weights[name].shape != stored[name].shape}
    if differing:
        raise CheckpointError(
            f"{path.name} belongs to another training: its {what} differs in {len(differing)} tensors, such as "
            f"{sorted(differing)[0]}. Go on with the settings it was begun with, or choose another name")
    for name, weight in weights.items():
        weight.copy_(stored[name])

"""Checkpoints of a training run: written whole or not at all, read only into the run that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..storage.atomic import replacing
from .origin import Origin


class CheckpointError(ValueError):
    """A checkpoint belongs to another run, or is damaged."""


def save(path: Path, state: Mapping) -> None:
    """Write `state` so that the file is always a whole checkpoint, the old one or the new one.

    Raises:
        WriteError: The system could not write it, such as where the disk is full.
    """
    # Through a file of Python's, which keeps what the system said: torch's own has only "unexpected pos" left of it.
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        torch.save(dict(state), file)


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


def check(path: Path, state: Mapping, own: Origin, steps: int) -> None:
    """Check that a checkpoint is one of this run.

    Args:
        own: What this run is made from.
        steps: That it is to have.

    Raises:
        CheckpointError: It is another's, or has more steps; the message says what differs.
    """
    if "origin" not in state:
        raise CheckpointError(
            f"{path.name} was written by an older version of this pack, which did not note what it was trained on and "
            "how, so that nothing shows whether it belongs to this run. Choose another name, or remove the file to "
            "start anew")
    if found := own.differences(Origin(**state["origin"]), state["step"]):
        raise CheckpointError(f"{path.name} belongs to another training: {'; '.join(found)}. Go on with what it was "
                              "begun with, or choose another name")
    if state["step"] > steps:
        raise CheckpointError(f"{path.name} has {state['step']} steps behind it, and {steps} are asked for. Ask for "
                              f"{state['step']} or more, or choose another name")


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
            f"{sorted(differing)[0]}. Go on with what it was begun with, or choose another name")
    for name, weight in weights.items():
        weight.copy_(stored[name])

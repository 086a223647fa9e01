"""Measure a long video: at the borders of its parts, from frame to frame, and in stretches as long as a clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import torch
from torch import Tensor

from ....demo.captions import read
from ....demo.scenes import FASTEST, Scene, pose_of
from ...demo.explained import behind, see
from ...demo.obedience import obeyed
from ..motion import unexplained_change
from ..texture import texture_energy

STRETCH = 16
"""Frames that are looked at together, as many as a clip of the world has."""
JUMP = 4 * FASTEST
"""Pixels from one frame to the next that no subject of the world goes: a longer step is a movement that begins anew."""


@dataclass(frozen=True)
class Stretch:
    """What was measured of some frames of a video."""

    subject: str
    backdrop: str
    obeyed: dict[str, bool]
    """Whether they show what the prompt says, for each part that it says."""
    explained: float
    """Share of the subject that is as it should be, whichever subject it is."""
    colour: float
    """How far the background's colours are from those of the first stretch, mean absolute difference."""
    texture: float
    """Energy of the background's moving texture."""


@dataclass(frozen=True)
class Movement:
    """What was measured from frame to frame."""

    seams: float
    """Change at the borders over that elsewhere, whose median is taken; NaN where either is missing."""
    highest: float
    """The largest change over the median one."""
    restarts: float
    """Steps of the subject that are longer than JUMP, in a hundred frames."""
    motion: float
    """Mean length of its other steps over that which the scene asks for; NaN where it asks for none."""
    change: float
    """Change from frame to frame that no movement explains."""


@dataclass(frozen=True)
class Video:
    """What was measured of a video."""

    stretches: list[Stretch]
    movement: Movement
    evaluations: float
    """Of the network for a frame, for each frame of the video."""
    seconds: float
    """Of sampling, for each frame of the video."""


def measure_stretches(clip: Tensor, prompt: str) -> tuple[list[Stretch], Tensor]:
    """Look at a video (f, 3, h, w), values 0 to 1; return what its stretches show, and the subject's centres, (f, 2).

    Frames that fill no stretch belong to the last one.
    """
    said, found, centres = read(prompt), [], []
    first = behind(clip[:STRETCH])
    begins = range(0, max(len(clip) - STRETCH, 0) + 1, STRETCH)
    for begin in begins:
        part = clip[begin:len(clip) if begin == begins[-1] else begin + STRETCH]
        seen = see(part)
        centres.append(seen.centres)
        found.append(Stretch(seen.subject, seen.backdrop, obeyed(seen, said), seen.explained,
                             (behind(part) - first).abs().mean().item(), texture_energy(part, seen.masks)))
    return found, torch.cat(centres)


def measure_movement(clip: Tensor, centres: Tensor, borders: Sequence[int], scene: Scene) -> Movement:
    """Measure a video (f, 3, h, w), values 0 to 1, from frame to frame.

    Args:
        centres: The subject's, (f, 2) as x and y in pixels.
        borders: The frames after which parts are put together.
        scene: What the prompt was made of.
    """
    changes = clip.diff(dim=0).abs().mean((1, 2, 3)).tolist()
    elsewhere = [change for at, change in enumerate(changes) if at not in borders]
    steps = centres.diff(dim=0).norm(dim=1)
    whole, wanted = steps[steps <= JUMP], float(pose_of(scene).step.norm())
    return Movement(
        seams=_over([changes[at] for at in borders], elsewhere),
        highest=_over([max(changes)], changes),
        restarts=100 * (len(steps) - len(whole)) / len(clip),
        motion=whole.mean().item() / wanted if wanted and len(whole) else math.nan,
        change=fmean(unexplained_change(part) for part in _overlapping(clip)))


def _over(some: list[float], others: list[float]) -> float:
    if not some or not others:
        return math.nan
    return fmean(some) / max(median(others), 1e-9)


def _overlapping(clip: Tensor) -> list[Tensor]:
    """Return stretches of a video that share a frame, so that no change is left out and few frames are in memory."""
    return [clip[at:at + STRETCH + 1] for at in range(0, len(clip) - 1, STRETCH)]

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
from ..motion import unexplained_change
from ..obeyed import obeyed
from ..texture import texture_energy

STRETCH, EVERY = 16, 4
"""Frames that are looked at together, as many as a clip of the world has, and how many stretches go to one of them: to
look takes longer than to sample. The last frames of a video are always looked at."""
JUMP = 4 * FASTEST
"""Pixels from one frame to the next that no subject of the world goes: a longer step is a movement that begins anew."""

LEAST = 1e-9
"""Change of a video that stands still, so that nothing is divided by zero."""


@dataclass(frozen=True)
class Stretch:
    """What was measured of some frames of a video."""

    begin: int
    """Its first frame."""
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
    """Mean change at the borders over that elsewhere; NaN where either is missing."""
    highest: float
    """The largest change over the median one."""
    restarts: float
    """Steps of the subject that are longer than JUMP, of a hundred."""
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


def looked_at(num_frames: int) -> list[range]:
    """Return the stretches of a video that are looked at."""
    begins = list(range(0, max(num_frames - STRETCH, 0) + 1, EVERY * STRETCH))
    if num_frames - begins[-1] >= 2 * STRETCH:
        begins.append(num_frames - STRETCH)
    return [range(begin, min(begin + STRETCH, num_frames)) for begin in begins]


def measure_stretches(clip: Tensor, prompt: str) -> tuple[list[Stretch], list[Tensor]]:
    """Look at a video (f, 3, h, w), values 0 to 1; return what its stretches show, and the subject's centres in each.
    """
    said, found, centres = read(prompt), [], []
    first = behind(clip[:STRETCH])
    for frames in looked_at(len(clip)):
        part = clip[frames.start:frames.stop]
        seen = see(part)
        centres.append(seen.centres)
        found.append(Stretch(frames.start, seen.subject, seen.backdrop, obeyed(seen, said), seen.explained,
                             (behind(part) - first).abs().mean().item(), texture_energy(part, seen.masks)))
    return found, centres


def measure_movement(clip: Tensor, centres: Sequence[Tensor], borders: Sequence[int], scene: Scene) -> Movement:
    """Measure a video (f, 3, h, w), values 0 to 1, from frame to frame.

    Args:
        centres: The subject's in each of the stretches, (f, 2) as x and y in pixels.
        borders: The frames after which parts are put together.
        scene: What the prompt was made of.
    """
    changes = clip.diff(dim=0).abs().mean((1, 2, 3)).tolist()
    elsewhere = [change for at, change in enumerate(changes) if at not in borders]
    steps = torch.cat([part.diff(dim=0).norm(dim=1) for part in centres])
    whole, wanted = steps[steps <= JUMP], float(pose_of(scene).step.norm())
    at_borders = [changes[at] for at in borders]
    return Movement(
        seams=fmean(at_borders) / max(fmean(elsewhere), LEAST) if at_borders and elsewhere else math.nan,
        highest=max(changes) / max(median(changes), LEAST) if changes else math.nan,
        restarts=100 * (len(steps) - len(whole)) / max(len(steps), 1),
        motion=whole.mean().item() / wanted if wanted and len(whole) else math.nan,
        change=fmean(unexplained_change(part) for part in _overlapping(clip)))


def _overlapping(clip: Tensor) -> list[Tensor]:
    """Return stretches of a video that share a frame, so that no change is left out and few frames are in memory."""
    return [clip[at:at + STRETCH + 1] for at in range(0, len(clip) - 1, STRETCH)]

"""What the videos of a way say together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from statistics import fmean, median
from typing import TypeVar

from ..intervals import Estimate, jackknife, leave_one_out
from .measure import STRETCH, Stretch, Video

T = TypeVar("T")
LATE = 0.75
"""Where the end of a video begins, as a share of it."""


@dataclass(frozen=True)
class Figures:
    """What is said of videos; NaN where they are too short for it, or nothing was asked for."""

    seams: float
    highest: float
    restarts: float
    motion: float
    change: float
    identity: float
    """Share of the stretches after the first that show its subject before its background."""
    colour: float
    """Distance of the background's colours at the end from those at the start."""
    texture: float
    """Energy of the background's moving texture at the end over that at the start, of all videos together."""
    subject: float
    way: float
    backdrop: float
    explained: float
    evaluations: float
    milliseconds: float
    """Of sampling, for a frame."""


@dataclass(frozen=True)
class Row:
    """A way, and what was found of it."""

    name: str
    figures: dict[str, Estimate]
    """Over seeds, by the names of Figures."""


def sum_up(videos: Sequence[Video]) -> Figures:
    """Return the figures of some videos.

    The first stretch of a video has no part in what is obeyed, where others follow: the rolling sampler samples it as
    an ordinary window.
    """
    stretches = [stretch for video in videos for stretch in video.stretches[1:] or video.stretches]
    movement = {name: _mean([getattr(video.movement, name) for video in videos])
                for name in ("seams", "highest", "restarts", "motion", "change")}
    obeyed = {name: _mean([stretch.obeyed[name] for stretch in stretches if name in stretch.obeyed])
              for name in ("subject", "way", "backdrop")}
    long = [video for video in videos if len(video.stretches) > 1]
    return Figures(
        **movement, **obeyed, explained=_mean([stretch.explained for stretch in stretches]),
        identity=_mean([same(stretch, video) for video in long for stretch in video.stretches[1:]]),
        colour=_mean([stretch.colour for video in long for stretch in late(video)]),
        texture=_texture(long, late),
        evaluations=_mean([video.evaluations for video in videos]),
        # Not the mean: another process may take the processor for a while.
        milliseconds=1000 * median(video.seconds for video in videos))


def same(stretch: Stretch, video: Video) -> bool:
    """Say whether a stretch shows the subject and the background of the video's first."""
    first = video.stretches[0]
    return (stretch.subject, stretch.backdrop) == (first.subject, first.backdrop)


def late(video: Video) -> list[Stretch]:
    """Return the stretches at the end of a video."""
    last = video.stretches[-1]
    return [stretch for stretch in video.stretches
            if stretch is last or stretch.begin >= LATE * (last.begin + STRETCH)]


def over_stretches(videos: Sequence[Video]) -> dict[str, list[float]]:
    """Return what becomes of videos of one length: figures for each stretch, by the names of Figures."""
    count = min(len(video.stretches) for video in videos)
    found: dict[str, list[float]] = {"identity": [], "colour": [], "texture": []}
    for number in range(count):
        found["identity"].append(_mean([same(video.stretches[number], video) for video in videos]))
        found["colour"].append(_mean([video.stretches[number].colour for video in videos]))
        found["texture"].append(_texture(videos, partial(_only, number)))
    return found


def _only(number: int, video: Video) -> list[Stretch]:
    return [video.stretches[number]]


def row(name: str, runs: Sequence[Sequence[Video]]) -> Row:
    """Return the estimates over a way's runs, one for each seed."""
    whole, *without = of_runs(runs, sum_up)
    return Row(name, {field.name: jackknife(getattr(whole, field.name), [getattr(some, field.name) for some in without])
                      for field in fields(Figures)})


def of_runs(runs: Sequence[Sequence[Video]], figures: Callable[[list[Video]], T]) -> list[T]:
    """Return the figures of the videos of all runs, and where there are several of all but each run."""
    return leave_one_out(runs, lambda kept: figures([video for run in kept for video in run]))


def _texture(videos: Sequence[Video], part: Callable[[Video], list[Stretch]]) -> float:
    first = _mean([video.stretches[0].texture for video in videos])
    then = _mean([_mean([stretch.texture for stretch in part(video)]) for video in videos])
    return then / first if first else math.nan


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan

"""Measure clips of the world's prompts one by one, and sum a run of them up."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from ...demo.captions import caption, loose_caption, read
from ...demo.scenes import Scene, pose_of, random_scene, render
from ..demo.explained import see
from .burn import burned
from .features import clip_features
from .frechet import FeatureStatistics, statistics_of
from .motion import path_per_frame, unexplained_change
from .obeyed import ASKED, obeyed
from .records import continued
from .texture import texture_energy

WORDS: dict[str, Callable[[Scene], str]] = {"specific": caption, "class words": loose_caption}
"""How prompts say a scene: all of it, or the kind of its subject and what it does."""
WORLD_CLIPS = 512
"""Clips of the world that others are compared with; docs/evaluation.md says why so many."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one clip."""

    features: list[float]
    obeyed: dict[str, bool]
    """Whether the clip shows what its prompt says, for each part that it says."""
    explained: float
    """Share of the subject that is as it should be, whichever subject it is."""
    texture: float
    """Energy of the background's moving texture."""
    change: float
    """Change from frame to frame that no movement explains."""
    motion: float | None
    """Length of the subject's path over that which the scene asks for; None where it asks for none."""
    layout: float
    """How well the subject covers that of the scene, intersection over union, mean over the frames; only a method that
    is shown the scene can know where that is."""
    start: float
    """The same in the first frame."""
    burned: float
    """Share of values at the ends of what a pixel can hold."""


@dataclass(frozen=True)
class Run:
    """What was measured of the clips for the prompts of one seed."""

    clips: list[Measured]
    world: list[Measured]
    """Of the world's own clips of the same scenes, through the codec."""


@dataclass(frozen=True)
class Figures:
    """What is said of the clips of some runs; NaN where their prompts or their scenes ask for nothing of the kind."""

    frechet: float
    subject: float
    way: float
    backdrop: float
    explained: float
    texture: float
    """Over that of the world's clips of the same scenes through the codec."""
    change: float
    """The same."""
    motion: float
    layout: float
    start: float
    burned: float
    """Less that of the world's clips of the same scenes through the codec."""

    @property
    def accuracy(self) -> float:
        """Return the mean of what was asked for of subject, way and backdrop."""
        return _mean([share for name in ASKED if not math.isnan(share := getattr(self, name))])


def scenes(seed: int, count: int) -> list[Scene]:
    """Return the scenes that the prompts of a run describe."""
    rng = random.Random(f"scenes {seed}")
    return [random_scene(rng) for _ in range(count)]


def noise_seed(seed: int, number: int) -> int:
    """Return the seed of the noise of a run's clip."""
    return seed * 10_000 + number


def world_statistics(record: Path) -> FeatureStatistics:
    """Return the features' distribution over the world, from clips that no prompt of a run asks for.

    Args:
        record: A file with the features of each clip, which is continued.
    """
    rng = random.Random("reference")
    chosen = [random_scene(rng) for _ in range(WORLD_CLIPS)]

    def measure(number: int) -> dict:
        return {"features": clip_features(render(chosen[number]).frames).tolist()}

    lines = continued(record, WORLD_CLIPS, measure)
    return statistics_of(torch.tensor([line["features"] for line in lines], dtype=torch.float64))


def measure_clip(clip: Tensor, scene: Scene, prompt: str) -> Measured:
    """Measure a clip (f, 3, h, w), values 0 to 1, that a prompt for a scene has made."""
    clip = clip.float().cpu()
    seen = see(clip)
    wanted = float(pose_of(scene).step.norm())
    covered = covering(seen.masks, render(scene).mask)
    return Measured(
        features=clip_features(clip).tolist(), obeyed=obeyed(seen, read(prompt)), explained=seen.explained,
        texture=texture_energy(clip, seen.masks), change=unexplained_change(clip),
        motion=path_per_frame(seen.centres) / wanted if wanted else None,
        layout=covered.mean().item(), start=covered[0].item(), burned=burned(clip))


def covering(masks: Tensor, wanted: Tensor) -> Tensor:
    """Return how well masks cover others, (f, h, w) both: intersection over union in each frame, 0 to 1, (f,)."""
    seen, there = masks > 0.5, wanted > 0.5
    return (seen & there).sum((1, 2)) / (seen | there).sum((1, 2)).clamp(min=1)


def measure_run(sample: Callable[[Scene, int], Tensor], words: str, seed: int, prompts: int, record: Path
                ) -> list[Measured]:
    """Measure the clips of a run, going on after those that its record has already.

    Args:
        sample: From a scene and a seed to a clip.
        words: Which prompts it was shown, one of WORDS.
        record: A file with one line of JSON for each clip, which is continued.
    """
    chosen = scenes(seed, prompts)

    def measure(number: int) -> dict:
        scene = chosen[number]
        return asdict(measure_clip(sample(scene, noise_seed(seed, number)), scene, WORDS[words](scene)))

    return [Measured(**line) for line in continued(record, prompts, measure)]


def sum_up(runs: Sequence[Run], compared: FeatureStatistics) -> Figures:
    """Return the figures of all clips of some runs together."""
    clips, world = [clip for run in runs for clip in run.clips], [clip for run in runs for clip in run.world]
    features = torch.tensor([clip.features for clip in clips], dtype=torch.float64)
    shares = {name: _mean([clip.obeyed[name] for clip in clips if name in clip.obeyed]) for name in ASKED}
    means = {name: fmean(getattr(clip, name) for clip in clips) for name in ("explained", "layout", "start")}
    # Of all clips together: over what a plain background has, a trace of noise would be ten times too much.
    over = {name: _over(*([getattr(clip, name) for clip in found] for found in (clips, world)))
            for name in ("texture", "change")}
    motion = _mean([clip.motion for clip in clips if clip.motion is not None])
    burn = fmean(clip.burned for clip in clips) - fmean(clip.burned for clip in world)
    return Figures(frechet=compared.distance(features), motion=motion, burned=burn, **shares, **means, **over)


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else math.nan


def _over(values: Sequence[float], world: Sequence[float]) -> float:
    return sum(values) / sum(world) if any(world) else math.nan

"""Sample clips of the world's prompts, measure each one, and sum them up."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from ...demo import world
from ...demo.world import hints
from ..demo.detector import detect
from ..demo.layout import layout_iou
from .features import clip_features, features_of
from .frechet import FeatureStatistics, statistics_of
from .motion import path_per_frame, unexplained_change
from .records import continued

OBEYED = ("colour", "shape", "direction", "background")
"""What a prompt asks for and the detector can see."""
WORLD_CLIPS = 512


@dataclass(frozen=True)
class Measured:
    """What was measured of one clip."""

    features: list[float]
    obeyed: dict[str, bool]
    """Whether the clip shows what its prompt says."""
    change: float
    """Change that no movement explains, over that of the world's own clip for the prompt."""
    motion: float | None
    """Length of the object's path over that which the prompt asks for; None where no object was seen."""
    layout: float
    """How well the object covers the scene's own silhouette, intersection over union, mean over the frames; only a
    method that is shown the scene can know where that is."""
    start: float
    """The same in the first frame."""


@dataclass(frozen=True)
class Figures:
    """What is said of the clips of one run."""

    frechet: float
    colour: float
    shape: float
    direction: float
    background: float
    change: float
    motion: float
    """NaN where no clip showed an object."""
    layout: float
    start: float

    @property
    def obedience(self) -> float:
        """Return the mean of colour, shape and direction."""
        return (self.colour + self.shape + self.direction) / 3


def world_statistics() -> FeatureStatistics:
    """Return the features' distribution over the world, from clips that no prompt of a run asks for."""
    rng = random.Random("reference")
    return statistics_of(features_of(world.render(world.random_scene(rng)) for _ in range(WORLD_CLIPS)))


def scenes(seed: int, count: int) -> list[world.Scene]:
    """Return the scenes that the prompts of a run describe."""
    rng = random.Random(f"scenes {seed}")
    return [world.random_scene(rng) for _ in range(count)]


def measure_clip(clip: Tensor, scene: world.Scene) -> Measured:
    """Measure a clip (f, 3, h, w), values 0 to 1, that was asked to show a scene."""
    clip = clip.float().cpu()
    seen = detect(clip)
    path = path_per_frame(seen.centres) / world.SPEEDS[scene.speed]
    covered = layout_iou(clip, hints(scene, world.positions(scene, len(clip))))
    return Measured(
        features=clip_features(clip).tolist(), obeyed={name: getattr(seen, name) == getattr(scene, name)
                                                       for name in OBEYED},
        change=unexplained_change(clip) / unexplained_change(world.render(scene)),
        motion=None if math.isnan(path) else path, layout=covered.mean().item(), start=covered[0].item())


def noise_seed(seed: int, number: int) -> int:
    """Return the seed of the noise of a run's clip."""
    return seed * 10_000 + number


def measure_run(sample: Callable[[world.Scene, int], Tensor], seed: int, prompts: int, record: Path) -> list[Measured]:
    """Measure the clips of a run, going on after those that its record has already.

    Args:
        sample: From a scene and a seed to a clip.
        record: A file with one line of JSON for each clip, which is continued.
    """
    chosen = scenes(seed, prompts)

    def measure(number: int) -> dict:
        scene = chosen[number]
        return asdict(measure_clip(sample(scene, noise_seed(seed, number)), scene))

    return [Measured(**line) for line in continued(record, prompts, measure)]


def sum_up(clips: Sequence[Measured], compared: FeatureStatistics) -> Figures:
    """Return the figures of a run."""
    features = torch.tensor([clip.features for clip in clips], dtype=torch.float64)
    motions = [clip.motion for clip in clips if clip.motion is not None]
    means = {name: fmean(getattr(clip, name) for clip in clips) for name in ("change", "layout", "start")}
    return Figures(frechet=compared.distance(features), motion=fmean(motions) if motions else math.nan, **means,
                   **{name: fmean(clip.obeyed[name] for clip in clips) for name in OBEYED})

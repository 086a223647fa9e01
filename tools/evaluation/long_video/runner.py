"""Measure videos of the world's prompts, and keep what was measured of each in a folder."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path

from tqdm import tqdm

from ....demo.captions import caption
from ....demo.scenes import Scene
from ....training import fingerprint
from ...demo.sampler import Parts
from ..measure import noise_seed, scenes
from ..records import continued
from ..runner import OWN, evidence
from .measure import Movement, Stretch, Video, measure_movement, measure_stretches
from .sampling import LongSampler, Sampled
from .tuned import CODE, tuned
from .ways import Way

MEASURED = tuple(f"tools/evaluation/{name}.py" for name in (
    "motion", "obeyed", "texture", "measure", "long_video/measure", "long_video/sampling"))
"""The code that makes a video and measures it. What other code has measured is measured again."""


class LongRunner:
    """Makes videos with a few-step model, and keeps what it measured in a folder."""

    def __init__(self, folder: Path, parts: Parts) -> None:
        self.folder, self.parts = folder, parts
        self.sampler, self.parts_for = cache(LongSampler), cache(self._parts_for)
        self.bar = tqdm(unit=" videos", mininterval=5)

    def _parts_for(self, way: Way) -> Parts:
        """Return the files that a way is sampled with."""
        if way.tuned_on is None:
            return self.parts
        made_from = evidence("tuned", [*OWN, *self.parts.files], *CODE)
        return tuned(way, self.parts, self.folder / f"tuned-{made_from}")

    def __call__(self, way: Way, seed: int, prompts: int, num_frames: int) -> list[Video]:
        """Measure the videos of a way for the prompts of a seed, going on after those that are measured already."""
        chosen, num_frames = scenes(seed, prompts), way.frames(num_frames)

        def measure(number: int) -> dict:
            self.bar.set_description(f"{way.name}, seed {seed}")
            scene = chosen[number]
            measured = measure_video(way, scene, self.video(way, scene, noise_seed(seed, number), num_frames))
            self.bar.update()
            return asdict(measured)

        # Not the code of ways: another row in the table changes nothing of the others.
        made_by = evidence("long video", [*OWN, *self.parts_for(way).files], *MEASURED)
        name = fingerprint.digest(made_by, way, way.borders(num_frames))[:12]
        record = self.folder / f"{way.slug}-{num_frames}-{seed}-{name}.jsonl"
        return [_read(line) for line in continued(record, prompts, measure)]

    def video(self, way: Way, scene: Scene, seed: int, num_frames: int) -> Sampled:
        """Return the video of a scene's prompt."""
        return self.sampler(self.parts_for(way))(way, caption(scene), seed, num_frames)


def measure_video(way: Way, scene: Scene, sampled: Sampled) -> Video:
    """Measure a video that was made in a way for a scene's prompt."""
    clip = sampled.clip.float().cpu()
    stretches, centres = measure_stretches(clip, caption(scene))
    movement = measure_movement(clip, centres, way.borders(len(clip)), scene)
    return Video(stretches, movement, sampled.evaluations / len(clip), sampled.seconds / len(clip))


def _read(line: dict) -> Video:
    """Return what a record's line says; JSON as Python writes it knows NaN."""
    stretches = [Stretch(**stretch) for stretch in line["stretches"]]
    return Video(stretches, Movement(**line["movement"]), line["evaluations"], line["seconds"])

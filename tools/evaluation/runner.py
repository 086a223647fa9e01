"""Run methods on the demo model, and keep what was measured of each clip in a folder."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from statistics import fmean

import comfyui_version
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from ...demo import world
from ...demo.files import WEIGHTS
from ...storage.atomic import replacing
from ...training import fingerprint
from ..demo import styles
from ..demo.sampler import DemoSampler, Settings
from .frechet import FeatureStatistics
from .measure import Figures, measure_run, noise_seed, scenes, sum_up, world_statistics
from .methods import Method, teacher
from .records import continued

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("demo", "host", "motion", "samplers", "tools/demo", "training")
"""The code that makes a clip, or a file that clips are made with."""
MEASURED = ("tools/evaluation/features.py", "tools/evaluation/motion.py", "tools/evaluation/measure.py")
"""The code that measures one. What was measured with another is measured again, as is what other rooms made."""
OWN = tuple(WEIGHTS / f"{name}.safetensors" for name in ("unet", "text", "codec", "motion"))
"""The demo model's files."""
RECENT = 64
"""Clips that are remembered, 3 MiB each: one that is measured in two ways is sampled once."""


class Runner:
    """Runs methods, and keeps what it measured in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compared: FeatureStatistics = world_statistics()
        self.sampler = cache(DemoSampler)
        self.clip = lru_cache(RECENT)(self._sampled)
        self.bar = tqdm(unit=" clips", mininterval=5)

    def __call__(self, method: Method, steps: int, cfg: float, seed: int, prompts: int) -> Figures:
        """Return the figures of one run."""
        self._show(method, steps, cfg, seed)
        settings = Settings(steps, cfg, method.sampler, method.scheduler)

        def sample(scene: world.Scene, number: int) -> Tensor:
            return self.clip(method, scene, number, settings)

        record = self.folder / f"{steps}-{cfg:g}-{seed}-{digest(method)}.jsonl"
        return sum_up(measure_run(sample, seed, prompts, record), self.compared)

    def from_teacher(self, method: Method, steps: int, seed: int, prompts: int) -> float:
        """Return how far a method's clips, without guidance, are from the teacher's of the same prompts and noise.

        That is the root mean square of the pixels' differences, values 0 to 1, mean over the clips.
        """
        chosen, settings = scenes(seed, prompts), Settings(steps, 1.0, method.sampler, method.scheduler)

        def measure(number: int) -> dict:
            wanted = self._teachers(chosen[number], noise_seed(seed, number))
            self._show(method, steps, 1.0, seed)
            clip = self.clip(method, chosen[number], noise_seed(seed, number), settings)
            return {"distance": (clip - wanted).square().mean().sqrt().item()}

        record = self.folder / f"from-teacher-{steps}-{seed}-{digest(teacher())}-{digest(method)}.jsonl"
        return fmean(line["distance"] for line in continued(record, prompts, measure))

    def _teachers(self, scene: world.Scene, seed: int) -> Tensor:
        """Return the teacher's clip, which is kept."""
        guided = teacher()
        path = self.folder / f"teacher-{digest(guided)}" / f"{seed}.safetensors"
        if not path.is_file():
            [steps], [cfg] = guided.steps, guided.cfgs
            self._show(guided, steps, cfg, seed)
            settings = Settings(steps, cfg, guided.sampler, guided.scheduler)
            clip = self.clip(guided, scene, seed, settings)
            with replacing(path) as unfinished:
                save_file({"clip": clip.contiguous()}, unfinished)
        return load_file(path)["clip"]

    def _sampled(self, method: Method, scene: world.Scene, seed: int, settings: Settings) -> Tensor:
        clip = sampled(self.sampler(method.parts), method, scene, seed, settings)
        self.bar.update()
        return clip

    def _show(self, method: Method, steps: int, cfg: float, seed: int) -> None:
        self.bar.set_description(f"{method.name}, {steps} steps, cfg {cfg:g}, seed {seed}")

    def world(self, seed: int, prompts: int) -> Figures:
        """Return the figures of the world's own clips for the prompts of a run."""
        record = self.folder / f"world-{seed}-{digest(None)}.jsonl"
        return sum_up(measure_run(lambda scene, _: world.render(scene), seed, prompts, record), self.compared)


def sampled(sampler: DemoSampler, method: Method, scene: world.Scene, seed: int, settings: Settings) -> Tensor:
    """Return a method's clip for a scene, (f, 3, h, w), as it is measured."""
    hints = world.hints(scene, world.positions(scene)) if method.follows == "layout" else None
    reference = world.render(scene)[0] if method.follows == "image" else None
    clip = sampler(world.caption(scene), seed, settings, hints, reference)
    return styles.plain(clip) if method.pastel else clip


def digest(method: Method | None) -> str:
    """Return a name for all that a record depends on: weights, settings, the code, and how clips are measured."""
    if method is None:
        return evidence("world", [], *MEASURED)
    settings = f"{method.sampler} {method.scheduler} {method.follows} {method.pastel}"
    return evidence(settings, [*OWN, *method.parts.files], *MEASURED)


def evidence(settings: str, files: Iterable[Path], *code: str) -> str:
    """Return a name for settings, the contents of files, the code of the rooms, and what computes.

    Args:
        code: Further files of the code.
    """
    computes = str(torch.__version__), comfyui_version.__version__
    return fingerprint.digest(settings, fingerprint.of_files(files), fingerprint.of_code(*ROOMS, *code, root=ROOT),
                              computes)[:12]

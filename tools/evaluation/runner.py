"""Run methods on the demo model, and keep what was measured of each clip in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property, lru_cache
from pathlib import Path
from statistics import fmean

import comfyui_version
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from ...demo.autoencoder import Autoencoder
from ...demo.backdrops import BACKDROPS
from ...demo.captions import loose_caption
from ...demo.files import WEIGHTS
from ...demo.scenes import Scene, outline, render
from ...demo.subjects import ATLAS
from ...storage.atomic import replacing
from ...training import fingerprint
from ..demo import styles
from ..demo.backdrop_seen import backdrop_of
from ..demo.latent_cache import load_codec, through_codec
from ..demo.sampler import DemoSampler, Settings
from .frechet import FeatureStatistics
from .measure import WORDS, Figures, Measured, Run, measure_run, noise_seed, scenes, sum_up, world_statistics
from .methods import Method, teacher
from .records import continued

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("demo", "host", "motion", "samplers", "tools/demo", "training")
"""The code that makes a clip, or a file that clips are made with."""
MEASURED = tuple(f"tools/evaluation/{name}.py" for name in (
    "burn", "features", "motion", "obeyed", "texture", "measure", "runner"))
"""The code that measures one. What was measured with another is measured again, as is what other packages made."""
CODEC = WEIGHTS / "codec.safetensors"
OWN = (*(WEIGHTS / f"{name}.safetensors" for name in ("unet", "text", "motion")), CODEC)
"""The demo model's files."""
RECENT = 64
"""Clips that are remembered, 3 MiB each: one that is measured in two ways is sampled once."""


class Runner:
    """Runs methods, and keeps what it measured in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sampler = cache(DemoSampler)
        self.clip = lru_cache(RECENT)(self._sampled)
        self.through_codec = cache(self._through_codec)
        self.bar = tqdm(unit=" clips", mininterval=5)

    @cached_property
    def compared(self) -> FeatureStatistics:
        """Return what clips are compared with."""
        return world_statistics(self.folder / f"reference-{evidence('reference', [], *MEASURED)}.jsonl")

    @cached_property
    def codec(self) -> Autoencoder:
        return load_codec(WEIGHTS)

    def figures(self, runs: Sequence[Run]) -> Figures:
        """Return what is said of some runs together."""
        return sum_up(runs, self.compared)

    def __call__(self, method: Method, steps: int, cfg: float, seed: int, prompts: int) -> Run:
        """Measure a method's clips for the prompts of a seed."""
        self._show(method, steps, cfg, seed)
        settings = Settings(steps, cfg, method.sampler, method.scheduler)

        def sample(scene: Scene, number: int) -> Tensor:
            return self.clip(method, scene, number, settings)

        record = self.folder / f"{steps}-{cfg:g}-{seed}-{digest(method)}.jsonl"
        return self._run(measure_run(sample, method.words, seed, prompts, record), seed)

    def world(self, words: str, seed: int, prompts: int) -> Run:
        """Measure the world's own clips for the prompts of a seed."""
        record = self.folder / f"world-{seed}-{evidence(f'world {words}', [], *MEASURED)}.jsonl"
        return self._run(self._measured(lambda scene: render(scene).frames, words, seed, prompts, record), seed)

    def world_through_codec(self, words: str, seed: int, prompts: int) -> Run:
        """Measure the same through the codec, which is what a model without fault would make."""
        return self._run(self.through_codec(words, seed, prompts), seed)

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

    def avoided(self, method: Method, steps: int, cfg: float, seed: int, prompts: int) -> float:
        """Return how often a negative prompt is obeyed: the share of clips whose background becomes another one where
        the negative prompt names it, less the share where it names a background that is not there.

        The prompts name none, so that the model chooses it.
        """
        chosen, settings = scenes(seed, prompts), Settings(steps, cfg, method.sampler, method.scheduler)

        def measure(number: int) -> dict:
            sampler = self._sampler_of(method)
            self._show(method, steps, cfg, seed)
            prompt = loose_caption(chosen[number])
            before = backdrop_of(sampler(prompt, noise_seed(seed, number), settings))
            absent = next(name for name in BACKDROPS if name != before)
            changed = {}
            for named in (before, absent):
                clip = sampler(prompt, noise_seed(seed, number), settings, negative=BACKDROPS[named].phrases[0])
                changed["named" if named == before else "absent"] = backdrop_of(clip) != before
            self.bar.update()
            return changed

        record = self.folder / f"avoided-{steps}-{cfg:g}-{seed}-{digest(method)}.jsonl"
        return fmean(line["named"] - line["absent"] for line in continued(record, prompts, measure))

    def _teachers(self, scene: Scene, seed: int) -> Tensor:
        """Return the teacher's clip, which is kept."""
        guided = teacher()
        path = self.folder / f"teacher-{digest(guided)}" / f"{seed}.safetensors"
        if not path.is_file():
            steps, cfg = guided.steps[0], guided.cfgs[0]
            self._show(guided, steps, cfg, seed)
            settings = Settings(steps, cfg, guided.sampler, guided.scheduler)
            clip = self.clip(guided, scene, seed, settings)
            with replacing(path) as unfinished:
                save_file({"clip": clip.contiguous()}, unfinished)
        return load_file(path)["clip"]

    def _run(self, clips: list[Measured], seed: int) -> Run:
        return Run(clips, self.through_codec("specific", seed, len(clips)))

    def _through_codec(self, words: str, seed: int, prompts: int) -> list[Measured]:
        record = self.folder / f"through-codec-{seed}-{evidence(f'codec {words}', [CODEC], *MEASURED)}.jsonl"
        return self._measured(lambda scene: through_codec(self.codec, render(scene).frames), words, seed, prompts,
                              record)

    def _measured(self, draw: Callable[[Scene], Tensor], words: str, seed: int, prompts: int, record: Path
                  ) -> list[Measured]:
        """Measure the world's clips."""
        def sample(scene: Scene, number: int) -> Tensor:
            self.bar.set_description(f"the world, seed {seed}")
            self.bar.update()
            return draw(scene)

        return measure_run(sample, words, seed, prompts, record)

    def _sampler_of(self, method: Method) -> DemoSampler:
        if method.train is not None:
            method.train()
        return self.sampler(method.parts)

    def _sampled(self, method: Method, scene: Scene, seed: int, settings: Settings) -> Tensor:
        clip = sampled(self._sampler_of(method), method, scene, seed, settings)
        self.bar.update()
        return clip

    def _show(self, method: Method, steps: int, cfg: float, seed: int) -> None:
        self.bar.set_description(f"{method.name}, {steps} steps, cfg {cfg:g}, seed {seed}")


def sampled(sampler: DemoSampler, method: Method, scene: Scene, seed: int, settings: Settings) -> Tensor:
    """Return a method's clip for a scene, (f, 3, h, w), as it is measured."""
    hints = outline(render(scene)) if method.follows == "layout" else None
    reference = render(scene).frames[0] if method.follows == "image" else None
    clip = sampler(WORDS[method.words](scene), seed, settings, hints, reference)
    return styles.plain(clip) if method.pastel else clip


def digest(method: Method) -> str:
    """Return a name for all that a record depends on: weights, settings, the code, and how clips are measured."""
    settings = f"{method.sampler} {method.scheduler} {method.words} {method.follows} {method.pastel}"
    trained = [path for path in method.parts.files if path.parent == method.trained_in]
    settings += "".join(f" {path.parent.name}/{path.name}" for path in trained)
    return evidence(settings, [*OWN, *(path for path in method.parts.files if path not in trained)], *MEASURED)


def evidence(settings: str, files: Iterable[Path], *code: str) -> str:
    """Return a name for settings, the contents of files, the code of the packages, and what computes.

    Args:
        code: Further files of the code.
    """
    computes = str(torch.__version__), comfyui_version.__version__
    contents = fingerprint.of_files([ATLAS, *files])
    return fingerprint.digest(settings, contents, fingerprint.of_code(*PACKAGES, *code, root=ROOT), computes)[:12]

"""The command line of a training in stages, and where the stages find what the earlier ones made."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .latent_cache import Cache, Source, cached, load_codec, whole

if TYPE_CHECKING:
    from .image_training import ImageModel

ALL = "all"
IMAGES, CLIPS = 204_800, 12_800
"""Entries of the two caches that most stages learn from."""


@dataclass(frozen=True)
class Workspace:
    """What one training works on."""

    folder: Path
    """Where checkpoints, caches, weights and models go."""
    seed: int = 0
    images: int = IMAGES
    """Frames in the cache."""
    clips: int = CLIPS
    """Clips in the cache."""
    minutes: float | None = None
    """Of each of the two long stages, in place of their steps."""
    device: torch.device = field(default_factory=lambda: torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    @property
    def weights(self) -> Path:
        """Folder of the demo model itself."""
        return self.folder / "weights"

    @property
    def models(self) -> Path:
        """Folder of the files that go with it, in folders that are named like the host's."""
        return self.folder / "models"

    def model_file(self, name: str) -> Path:
        """Return the path of one of the files that go with the model, in a folder that is there."""
        path = self.models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def cached(self, source: Source) -> Cache:
        """Return the latents of a source, after drawing what is missing, where networks compute."""
        return cached(self.folder / "cache", source, load_codec(self.weights)).to(self.device)

    @cached_property
    def frames_of_scenes(self) -> Cache:
        return self.cached(Source("images", self.images, seed=self.seed))

    @cached_property
    def clips_of_scenes(self) -> Cache:
        return self.cached(Source("clips", self.clips, True, self.seed))

    def image_model(self) -> ImageModel:
        """Return the finished image model, frozen."""
        from .motion_training import finished_image_model

        return finished_image_model(self.weights).to(self.device)


def arguments(description: str, steps: Mapping[str, int], folder: Path) -> tuple[dict[str, int], Workspace]:
    """Read the command line; return how many steps each chosen stage runs, in their order, and where.

    Args:
        steps: Of each stage, by its name.
        folder: Where everything goes by default.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    # argparse checks a default against the choices, which a list of them is not one of.
    parser.add_argument("stages", nargs="*", default=ALL, choices=[*steps, ALL])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=folder, help="where everything goes")
    parser.add_argument("--images", type=int, default=IMAGES, help="frames that are drawn to learn from")
    parser.add_argument("--clips", type=int, default=CLIPS, help="clips that are drawn to learn from")
    parser.add_argument("--minutes", type=float, help="of each of the stages image and motion, in place of their steps")
    for name, count in steps.items():
        parser.add_argument(f"--{name}-steps", type=int, default=count)
    chosen = parser.parse_args()
    stages = {name: getattr(chosen, f"{name}_steps") for name in steps
              if ALL in (chosen.stages, *chosen.stages) or name in chosen.stages}
    return stages, Workspace(chosen.folder, chosen.seed, whole(chosen.images), whole(chosen.clips), chosen.minutes)

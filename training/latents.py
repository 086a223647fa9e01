"""Encoded images and clips in memory, as the numbered batches of a run."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

import torch
from torch import Tensor

from .config import TrainingConfig
from .draws import Examples


@dataclass(frozen=True)
class LatentSource:
    """A Source over latents that are held in memory; called with a batch's number.

    Items of a batch have one size: the first is drawn among all, the others among those of its size. Of a clip longer
    than needed a random stretch is taken, for images a random frame.
    """

    latents: Sequence[Tensor]
    """Clips or images, f c h w each, in the UNet's scale."""
    contexts: Sequence[Tensor]
    """The encoded caption of each, n d."""
    config: TrainingConfig
    device: torch.device

    def __post_init__(self) -> None:
        if len(self.latents) != len(self.contexts) or not self.latents:
            raise ValueError(f"{len(self.latents)} latents and {len(self.contexts)} captions; expected a caption for "
                             "each, and at least one")
        shortest, wanted = min(len(clip) for clip in self.latents), self.frames
        if shortest < wanted:
            raise ValueError(f"a clip has {shortest} frames, training needs {wanted} of each. Give longer clips, or "
                             "train on fewer frames")

    @property
    def frames(self) -> int:
        """Frames that are taken of each item."""
        return 1 if self.config.stage == "image" else self.config.num_frames

    def __call__(self, number: int) -> Examples:
        """Return the batch of a number."""
        rng = random.Random(f"{self.config.seed} {number}")
        sizes = defaultdict(list)
        for index, clip in enumerate(self.latents):
            sizes[clip.shape[1:]].append(index)
        first = rng.randrange(len(self.latents))
        same = sizes[self.latents[first].shape[1:]]
        chosen = [first, *(rng.choice(same) for _ in range(self.config.batch - 1))]
        latents = torch.stack([self._stretch(self.latents[index], rng) for index in chosen])
        context = join([self.contexts[index] for index in chosen])
        if self.config.stage == "image":
            latents = latents[:, 0]
        return Examples(latents.to(self.device), context.to(self.device))

    def _stretch(self, clip: Tensor, rng: random.Random) -> Tensor:
        start = rng.randrange(len(clip) - self.frames + 1)
        return clip[start:start + self.frames].float()


def join(contexts: Sequence[Tensor]) -> Tensor:
    """Stack encoded captions (n d) to b n d; shorter ones repeat until all are as long, as the host does."""
    length = lcm(*(len(context) for context in contexts))
    return torch.stack([context.repeat(length // len(context), 1).float() for context in contexts])

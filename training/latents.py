"""Encoded images and clips in memory, as the numbered batches of a run."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import lcm

import torch
from torch import Tensor

from .config import TrainingConfig
from .draws import Examples, stack
from .finite import is_finite

MOST_LOOKED_AT = 100_000
"""Batches of a run among which the largest is looked for."""
SHOWN = 10
"""How many clips a message names before it only counts them."""


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
    conditions: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    """What else the network is given by name, f ... for each item: the same frames are taken of it."""

    def __post_init__(self) -> None:
        if len(self.latents) != len(self.contexts) or not self.latents:
            raise ValueError(f"{len(self.latents)} latents and {len(self.contexts)} captions; expected a caption for "
                             "each, and at least one")
        shortest, wanted = min(len(clip) for clip in self.latents), self.config.frames
        if shortest < wanted:
            raise ValueError(f"a clip has {shortest} frames, training needs {wanted} of each. Give longer clips, or "
                             "train on fewer frames")
        for name, items in self.conditions.items():
            for index, (item, clip) in enumerate(zip(items, self.latents, strict=True)):
                if len(item) != len(clip):
                    raise ValueError(f"the {name} of clip {index + 1} has {len(item)} frames and the clip {len(clip)}; "
                                     "expected as many")
        self._check_numbers()

    def _check_numbers(self) -> None:
        """Refuse what is no number: a single one makes the loss nan, at whatever rate."""
        kinds = {"clip {}": self.latents, "the caption of clip {}": self.contexts,
                 **{f"the {name} of clip {{}}": items for name, items in self.conditions.items()}}
        for kind, items in kinds.items():
            if bad := [index + 1 for index, item in enumerate(items) if not is_finite(item)]:
                named = ", ".join(map(str, bad[:SHOWN])) + (f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else "")
                raise ValueError(f"{kind.format(named)} of {len(items)} holds nan or infinite numbers, from which "
                                 "nothing can be learnt. Leave it out, or encode it again: a VAE or text encoder in "
                                 "half precision, and a weight in a caption such as (cat:nan), can do this")

    def __call__(self, number: int) -> Examples:
        """Return the batch of a number."""
        stretches = self._stretches(number, self._sizes())
        context = join([self.contexts[index] for index, _ in stretches])
        conditions = {name: self._cut(items, stretches) for name, items in self.conditions.items()}
        return Examples(self._cut(self.latents, stretches), context.to(self.device), conditions)

    def largest(self) -> int:
        """Return the number of the first batch of the run than which none is larger."""
        sizes, batches = self._sizes(), self.config.loop.steps * self.config.loop.accumulation

        def size(number: int) -> tuple[int, int]:
            chosen = [index for index, _ in self._stretches(number, sizes)]
            return self.latents[chosen[0]][0].numel(), lcm(*(len(self.contexts[index]) for index in chosen))

        # Of two equal ones `max` keeps the first.
        return max(range(min(batches, MOST_LOOKED_AT)), key=size)

    def _sizes(self) -> dict[tuple[int, ...], list[int]]:
        """Return which items there are of each size."""
        sizes: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, clip in enumerate(self.latents):
            sizes[clip.shape[1:]].append(index)
        return sizes

    def _stretches(self, number: int, sizes: Mapping[tuple[int, ...], Sequence[int]]) -> list[tuple[int, int]]:
        """Return which items a batch takes, and where each of its stretches starts."""
        rng = random.Random(f"{self.config.seed} {number}")
        first = rng.randrange(len(self.latents))
        same = sizes[self.latents[first].shape[1:]]
        chosen = [first, *(rng.choice(same) for _ in range(self.config.batch - 1))]
        return [(index, self._start(self.latents[index], rng)) for index in chosen]

    def _start(self, clip: Tensor, rng: random.Random) -> int:
        return rng.randrange(len(clip) - self.config.frames + 1)

    def _cut(self, items: Sequence[Tensor], stretches: Sequence[tuple[int, int]]) -> Tensor:
        """Return the stretches, each an item and where it starts, as a batch."""
        cut = [items[index][start:start + self.config.frames].float() for index, start in stretches]
        return stack(cut).to(self.device)


def join(contexts: Sequence[Tensor]) -> Tensor:
    """Stack encoded captions (n d) to b n d; shorter ones repeat until all are as long, as the host does."""
    length = lcm(*(len(context) for context in contexts))
    return torch.stack([context.repeat(length // len(context), 1).float() for context in contexts])

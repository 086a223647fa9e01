"""The subjects of the world: small animations of 16 phases, from one WebP file, and what is known of each.

The art is Microsoft's Fluent Emoji (see NOTICE); `make_subjects.py` cut the file from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

ATLAS = Path(__file__).parent / "subjects.webp"
"""One row for each subject, in the order of the table, and one column for each phase of its loop."""
CELL = 128
"""Height and width of a sprite, in pixels."""
PHASES = 16
"""Sprites of a loop, an eighth of a second apart; the first follows the last."""


@dataclass(frozen=True)
class Subject:
    """What is known of a subject."""

    words: tuple[str, ...]
    """What people call it; the first one is its name."""
    code: str
    """The emoji's code point, in hexadecimal digits."""
    loop: tuple[int, int]
    """First frame and number of frames of the emoji's animation that the 16 phases are spread over."""
    classes: tuple[str, ...] = ()
    """Words for its kind."""
    faces: str = "left"
    """Where the sprite looks: "left", "right", "up", the diagonal "up right", or "front"."""
    steers: str = "tilt"
    """How it shows where it is heading: it is mirrored and lifts or drops its nose ("tilt"), turns as a whole ("turn"),
    or leans, as what has no front does ("lean")."""
    verbs: tuple[str, ...] = ("running", "walking")
    """What it does on its way to the side, besides moving."""
    acts: tuple[str, ...] = ()
    """What it does in place, if there is a word for it."""
    looks: str = ""
    """A word for how it looks that may stand before its name."""
    bob: float = 0.0
    """Pixels by which the whole sprite rises and falls twice in a loop, for those that hardly move otherwise."""
    stands: bool = True
    """Whether it has a shadow on the ground."""


WALKS = ("running", "walking")
FLIES = ("flying",)
SWIMS = ("swimming",)
DRIVES = ("driving",)
ANIMAL, BIRD, INSECT = ("animal",), ("animal", "bird"), ("animal", "insect")
VEHICLE, PERSON = ("vehicle",), ("person",)

SUBJECTS = (
    Subject(("penguin",), "1f427", (0, 48), BIRD, "front", "lean", WALKS, ("dancing", "waving")),
    Subject(("sheep", "lamb"), "1f411", (1, 60), ANIMAL, acts=("jumping",)),
    Subject(("horse", "pony"), "1f40e", (0, 72), ANIMAL, verbs=("running", "galloping"), looks="brown"),
    Subject(("kangaroo",), "1f998", (0, 48), ANIMAL, verbs=("jumping", "hopping"), acts=("jumping", "hopping")),
    Subject(("cat", "kitten"), "1f408-200d-2b1b", (0, 72), ANIMAL, looks="black"),
    Subject(("dog", "poodle"), "1f429", (0, 56), ANIMAL, acts=("jumping",)),
    Subject(("dinosaur",), "1f996", (0, 72), ANIMAL, looks="green"),
    Subject(("pig", "piglet"), "1f416", (0, 72), ANIMAL, looks="pink", bob=1.0),
    Subject(("ladybug", "beetle"), "1f41e", (0, 72), INSECT, "up", "turn", ("crawling", "walking"), stands=False),
    Subject(("eagle",), "1f985", (41, 55), BIRD, verbs=FLIES, acts=("flying",), stands=False),
    Subject(("bee",), "1f41d", (2, 33), INSECT, verbs=FLIES, acts=("flying", "hovering"), stands=False),
    Subject(("butterfly",), "1f98b", (4, 61), INSECT, "up", "turn", FLIES, ("flying",), stands=False),
    Subject(("dolphin",), "1f42c", (69, 40), ANIMAL, verbs=("swimming", "jumping"), acts=("jumping",), stands=False),
    Subject(("fish",), "1f420", (0, 66), ANIMAL, verbs=SWIMS, acts=("swimming",), stands=False),
    Subject(("octopus",), "1f419", (0, 72), ANIMAL, "front", "lean", SWIMS, ("dancing",), stands=False),
    Subject(("crab",), "1f980", (40, 56), ANIMAL, "front", "lean", ("walking",), ("waving",)),
    Subject(("car", "automobile"), "1f697", (0, 72), VEHICLE, verbs=DRIVES, looks="red", bob=1.5),
    Subject(("bus",), "1f68c", (12, 48), VEHICLE, verbs=DRIVES, bob=1.5),
    Subject(("motorcycle", "motorbike"), "1f3cd-fe0f", (63, 48), VEHICLE, verbs=("driving", "riding"), bob=1.5),
    Subject(("rocket", "spaceship"), "1f680", (0, 73), VEHICLE, "up right", "turn", FLIES, stands=False),
    Subject(("helicopter",), "1f681", (0, 72), VEHICLE, verbs=FLIES, acts=("hovering",), stands=False),
    Subject(("plane", "airplane"), "2708-fe0f", (0, 72), VEHICLE, "up right", "turn", FLIES, bob=1.5, stands=False),
    Subject(("ufo", "saucer"), "1f6f8", (0, 72), VEHICLE, "front", "lean", FLIES, ("hovering",), stands=False),
    Subject(("runner", "man"), "1f3c3", (0, 48), PERSON, verbs=("running", "jogging"), acts=("running",)),
    Subject(("cyclist", "bicycle", "bike"), "1f6b4", (0, 72), PERSON, verbs=("riding", "cycling")),
    Subject(("skier",), "26f7-fe0f", (0, 72), PERSON, verbs=("skiing",)),
    Subject(("dancer", "woman"), "1f483", (0, 72), PERSON, "front", "lean", ("spinning",), ("dancing",)),
    Subject(("ghost",), "1f47b", (1, 62), (), "front", "lean", FLIES, ("dancing", "floating"), stands=False),
)
NAMES = tuple(subject.words[0] for subject in SUBJECTS)


@lru_cache(maxsize=1)
def sprites() -> Tensor:
    """Return all sprites, (subjects, phases, 4, CELL, CELL), values 0 to 1; colours are multiplied by opacity."""
    import numpy as np
    from PIL import Image

    with Image.open(ATLAS) as image:
        pixels = torch.from_numpy(np.asarray(image.convert("RGBA")).copy())
    grid = pixels.view(len(SUBJECTS), CELL, PHASES, CELL, 4).permute(0, 2, 4, 1, 3).float() / 255
    # Compression lets a little colour leak to where nothing is.
    return torch.cat([torch.minimum(grid[:, :, :3], grid[:, :, 3:]), grid[:, :, 3:]], dim=2).contiguous()

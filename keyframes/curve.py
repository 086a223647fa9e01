"""A number that changes over the frames."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import error
from .text import Schedule, read
from .travel import blends, travel

NUMBER = re.compile(r"([-+]?(?:[0-9]{1,300}\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?)[ \t]*(%?)")


@dataclass(frozen=True)
class Curve:
    """Key frames of a number; between them it goes evenly from one to the next."""

    schedule: Schedule
    """Its values are numbers."""

    def check(self, num_frames: int) -> None:
        """Check that every key frame is one of the video's.

        Raises:
            KeyFrameError: One is not.
        """
        self.schedule.in_video(num_frames)

    def over(self, num_frames: int) -> Tensor:
        """Return the number at each frame of a video, (f,) in float32.

        Raises:
            KeyFrameError: A key frame is not one of the video's.
        """
        keys = self.schedule.in_video(num_frames)
        values = torch.tensor([_number(key.value) for key in keys])
        return travel(values, blends([key.frame for key in keys], num_frames, "linear"))


def parse_curve(text: str, lowest: float, highest: float) -> Curve:
    """Read a curve such as "0: 1, 8: 0.5".

    Raises:
        KeyFrameError: The text is no list of key frames, or a value is no number from `lowest` to `highest`.
    """
    schedule = read(text)
    for entry in schedule.entries:
        # Also false for what is not a number.
        if not lowest <= _number(entry.value) <= highest:
            raise error(text, entry.place, f"expected a number from {lowest:g} to {highest:g} for frame "
                                           f"{entry.written}, got {entry.value!r}. Formulas are not computed")
    return Curve(schedule)


def _number(text: str) -> float:
    """Return the number of a text, also a percentage and in the parentheses of FizzNodes; nan for any other text."""
    words = text.strip()
    while words[:1] == "(" and words[-1:] == ")":
        words = words[1:-1].strip()
    found = NUMBER.fullmatch(words)
    return float(found[1]) / (100 if found[2] else 1) if found else math.nan

"""A number that changes over the frames: as key frames, as a list, or as a drawn line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .errors import error
from .text import Schedule, read
from .travel import blends, travel

NUMBER = re.compile(r"([-+]?(?:[0-9]{1,300}\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?)[ \t]*(%?)")
LOOKED_AT = 257
"""Places of a drawn line at which its range is checked."""


class Curve(Protocol):
    """A number for each frame of a video."""

    def check(self, num_frames: int) -> None:
        """Check that the curve belongs to a video of so many frames.

        Raises:
            ValueError: It does not.
        """

    def over(self, num_frames: int) -> Tensor:
        """Return the number at each frame of a video, (f,) in float32.

        Raises:
            ValueError: The curve belongs to another video.
        """


@dataclass(frozen=True)
class KeyFramed:
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


@dataclass(frozen=True)
class Listed:
    """One number for each frame."""

    numbers: tuple[float, ...]
    name: str = "values"
    """Of the socket that it came by, for messages."""

    def check(self, num_frames: int) -> None:
        """Check that there is one number for each frame.

        Raises:
            ValueError: There is not.
        """
        if len(self.numbers) != num_frames:
            raise ValueError(f"{self.name} was given {len(self.numbers)} numbers for a video of {num_frames} frames. "
                             "Give it one number for each frame: set the number of frames and the frame rate of the "
                             "node that makes them to the video's")

    def over(self, num_frames: int) -> Tensor:
        """Return the numbers, (f,) in float32.

        Raises:
            ValueError: There is not one for each frame.
        """
        self.check(num_frames)
        return torch.tensor(self.numbers)

    def looked_at(self) -> tuple[float, ...]:
        """Return the numbers that have to be in range."""
        return self.numbers

    def changed(self, name: str, change: Callable[[float], float]) -> Listed:
        """Return the same for another socket, with a function of each number."""
        return Listed(tuple(map(change, self.numbers)), name)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A line over the whole video, whatever its length is."""

    at: Callable[[float], float]
    """The number from a share of the video, 0 at the first frame and 1 at the last."""
    name: str = "values"
    """Of the socket that it came by, for messages."""

    def check(self, num_frames: int) -> None:
        """Accept a video of any length."""

    def over(self, num_frames: int) -> Tensor:
        """Return the number at each frame of a video, (f,) in float32."""
        return torch.tensor([float(self.at(frame / max(1, num_frames - 1))) for frame in range(num_frames)])

    def looked_at(self) -> tuple[float, ...]:
        """Return the numbers that have to be in range."""
        return tuple(self.over(LOOKED_AT).tolist())

    def changed(self, name: str, change: Callable[[float], float]) -> Drawn:
        """Return the same for another socket, with a function of each number."""
        at = self.at
        return Drawn(lambda share: change(at(share)), name)


def parse_curve(text: str, lowest: float, highest: float) -> KeyFramed:
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
    return KeyFramed(schedule)


def check_range(curve: Listed | Drawn, lowest: float, highest: float) -> None:
    """Check the numbers of a curve that did not come as text.

    Raises:
        ValueError: One is not finite, or not from `lowest` to `highest`.
    """
    for place, number in enumerate(curve.looked_at()):
        if not (math.isfinite(number) and lowest <= number <= highest):
            where = f"frame {place}" if isinstance(curve, Listed) else f"{place / (LOOKED_AT - 1):.0%} of the video"
            expected = ("finite numbers" if not math.isfinite(number) else
                        f"numbers from {lowest:g} to {highest:g}. Frame Values brings them into that range")
            raise ValueError(f"{curve.name} has {number:g} at {where}; expected {expected}")


def _number(text: str) -> float:
    """Return the number of a text, also a percentage and in the parentheses of FizzNodes; nan for any other text."""
    words = text.strip()
    while words[:1] == "(" and words[-1:] == ")":
        words = words[1:-1].strip()
    found = NUMBER.fullmatch(words)
    return float(found[1]) / (100 if found[2] else 1) if found else math.nan

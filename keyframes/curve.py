"""A number that changes over the frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import text as entries
from .travel import blends, travel


@dataclass(frozen=True)
class Curve:
    """Key frames of a number; between them it goes evenly from one to the next."""

    text: str
    """As the user wrote it, for messages."""
    keys: tuple[int, ...]
    """Frames, ascending."""
    values: tuple[float, ...]

    def check(self, num_frames: int) -> None:
        """Check that every key frame is one of the video's.

        Raises:
            KeyFrameError: One is not.
        """
        entries.check_frames(self.text, entries.parse(self.text), num_frames)

    def over(self, num_frames: int) -> Tensor:
        """Return the number at each frame of a video, (f,) in float32."""
        return travel(torch.tensor(self.values), blends(self.keys, num_frames, "linear"))


def parse_curve(text: str, lowest: float, highest: float) -> Curve:
    """Read a curve such as "0: 1, 8: 0.5".

    Raises:
        KeyFrameError: The text is no list of key frames, or a value is no number from `lowest` to `highest`.
    """
    keys = entries.parse(text)
    for key in keys:
        # Also false for what is not a number.
        if not lowest <= _number(key.value) <= highest:
            raise entries.error(text, key.place, f"expected a number from {lowest:g} to {highest:g} for frame "
                                                 f"{key.frame}, got {key.value!r}")
    return Curve(text, tuple(key.frame for key in keys), tuple(float(key.value) for key in keys))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")

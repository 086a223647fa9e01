"""Frames of a video as users name them: `8`, or by the video's length, `50%` and `max_f-1`.

    frame   = number | number "%" | "max_f" { ("*" | "/") number } [ ("+" | "-") whole number ]

A percentage counts from the first frame, 0%, to the last, 100%. `max_f` is the number of frames, as in FizzNodes' keys;
alone it is the last frame, which it also is where it counts from 0, as in Deforum.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

WHOLE = r"[0-9]{1,9}"
DECIMAL = rf"{WHOLE}(?:\.[0-9]{{1,9}})?"
PERCENT = re.compile(rf"({DECIMAL})[ \t]*%")
MAX_F = re.compile(rf"max_f((?:[*/]{DECIMAL}){{0,3}})([-+]{WHOLE})?")


@dataclass(frozen=True)
class Frame:
    """A frame, whatever the length of the video is."""

    offset: int = 0
    """The frame itself, where the length does not matter."""
    share: Fraction = Fraction(0)
    """Of the number of frames, or of the number of the last one."""
    of_last: bool = False

    def at(self, num_frames: int) -> int:
        """Return its number in a video, which may be too high for it, or negative."""
        if self.of_last:
            # Half a frame goes to the later one.
            return int(self.share * (num_frames - 1) + Fraction(1, 2))
        if self.offset == 0 and self.share == 1:
            return num_frames - 1
        return int(self.share * num_frames // 1) + self.offset


def read_frame(text: str) -> Frame | None:
    """Return the frame that a text stands for, or None for anything else."""
    if re.fullmatch(WHOLE, text):
        return Frame(int(text))
    if (percent := PERCENT.fullmatch(text)) and Fraction(percent[1]) <= 100:
        return Frame(share=Fraction(percent[1]) / 100, of_last=True)
    if not (formula := MAX_F.fullmatch(re.sub(r"[ \t]", "", text))):
        return None
    share = Fraction(1)
    for operator, number in re.findall(rf"([*/])({DECIMAL})", formula[1]):
        factor = Fraction(number)
        if operator == "/" and not factor:
            return None
        share = share * factor if operator == "*" else share / factor
    return Frame(int(formula[2] or 0), share)

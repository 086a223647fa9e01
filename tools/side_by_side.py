"""Clips beside one another, each under its name, as one moving picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

LINE = 14
"""Pixels above each clip for its name."""
MILLISECONDS, QUALITY = 125, 60


def animate(lines: Sequence[Mapping[str, Sequence[Image.Image]]], path: Path) -> None:
    """Write clips as one animated WebP that plays for ever, as long as the shortest of them.

    Args:
        lines: From above to below: clips by their names, from left to right. All frames have one size.
    """
    count = min(len(frames) for line in lines for frames in line.values())
    moments = [_stacked([{name: frames[number] for name, frames in line.items()} for line in lines])
               for number in range(count)]
    moments[0].save(path, format="WEBP", save_all=True, append_images=moments[1:], loop=0, quality=QUALITY, method=6,
                    duration=MILLISECONDS)


def _stacked(lines: Sequence[Mapping[str, Image.Image]]) -> Image.Image:
    width, height = next(iter(lines[0].values())).size
    height += LINE
    picture = Image.new("RGB", (width * max(map(len, lines)), height * len(lines)), "white")
    for y, line in enumerate(lines):
        for x, (name, frame) in enumerate(line.items()):
            ImageDraw.Draw(picture).text((x * width + 2, y * height + 1), name, fill="black")
            picture.paste(frame, (x * width, y * height + LINE))
    return picture

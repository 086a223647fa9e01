"""Pictures of example workflows: a contact sheet for the pages, and a moving one for the editor's list of templates.

The editor asks for NAME.jpg beside a pack's NAME.json and for no other ending. It shows what comes as an image, and a
browser knows images by their first bytes: a WebP of that name plays there, as seen in Chromium with front end 1.47.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageSequence

from .contact_sheet import frames_of

SIDE = 256
"""The size at which the editor shows them, in pixels."""
MOST_FRAMES = 32
MILLISECONDS = 125
QUALITY = 75
BACKGROUND = "white"
"""Under transparent frames."""


def read_frames(file: Path) -> list[Image.Image]:
    """Return every frame of a video or of an animated image."""
    if file.suffix != ".webp":
        return frames_of(file)
    frames = []
    with Image.open(file) as image:
        for frame in ImageSequence.Iterator(image):
            flat = Image.new("RGBA", frame.size, BACKGROUND)
            flat.alpha_composite(frame.convert("RGBA"))
            frames.append(flat.convert("RGB"))
    return frames


def square(frame: Image.Image) -> Image.Image:
    """Return the middle of a picture, as a square of `SIDE`."""
    side = min(frame.size)
    left, top = ((length - side) // 2 for length in frame.size)
    return frame.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def save_thumbnail(frames: list[Image.Image], file: Path) -> None:
    """Write an animated WebP that plays for ever, under whatever name.

    Raises:
        ValueError: There are fewer than two frames, or all are the same: nothing would move.
    """
    shown = [square(frame) for frame in frames[:MOST_FRAMES]]
    if len({frame.tobytes() for frame in shown}) < 2:
        raise ValueError(f"{file.stem} has no two frames that differ, so its thumbnail would not move")
    shown[0].save(file, "WEBP", save_all=True, append_images=shown[1:], duration=MILLISECONDS, loop=0, quality=QUALITY,
                  method=6)


def before_and_after(before: list[Image.Image], after: list[Image.Image]) -> list[Image.Image]:
    """Return frames whose left half is of one clip and whose right half is of another."""
    found = []
    for one, other in zip(before, after, strict=True):
        both, width = other.copy(), other.width // 2
        both.paste(one.resize(other.size).crop((0, 0, width, other.height)))
        both.paste("white", (width - 1, 0, width + 1, other.height))
        found.append(both)
    return found

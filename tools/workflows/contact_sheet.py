"""Put all frames of a video on one picture: python contact_sheet.py VIDEO PICTURE. Runs in the host's Python."""

from __future__ import annotations

import sys
from pathlib import Path

import av
from PIL import Image

COLUMNS = 8
GAP = 4
WIDTH = 192


def frames_of(video: Path) -> list[Image.Image]:
    """Return every frame of a video file."""
    with av.open(str(video)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def sheet_of(frames: list[Image.Image]) -> Image.Image:
    """Return a picture with the frames in reading order, on white.

    Raises:
        ValueError: There are no frames.
    """
    if not frames:
        raise ValueError("the video has no frames")
    height = round(WIDTH * frames[0].height / frames[0].width)
    columns = min(COLUMNS, len(frames))
    rows = -(-len(frames) // columns)
    sheet = Image.new("RGB", (columns * (WIDTH + GAP) + GAP, rows * (height + GAP) + GAP), "white")
    for index, frame in enumerate(frames):
        row, column = divmod(index, columns)
        sheet.paste(frame.resize((WIDTH, height), Image.Resampling.LANCZOS),
                    (GAP + column * (WIDTH + GAP), GAP + row * (height + GAP)))
    return sheet


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    sheet_of(frames_of(Path(sys.argv[1]))).save(sys.argv[2])

"""The plot and the moving picture of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from ....storage.atomic import replacing
from ..intervals import Estimate

PLOTTED = {"identity": "share of videos with the first subject and background", "colour": "drift of colour",
           "texture": "texture over that of the first 16 frames"}
LINE = 14
"""Pixels above each video for its name."""
FPS, QUALITY = 8, 60


def plot(frames: Sequence[int], curves: Mapping[str, Mapping[str, Sequence[Estimate]]], path: Path) -> None:
    """Draw figures over the frames, a line for each way with its intervals.

    Args:
        frames: Where the stretches begin.
        curves: By way, and by names in PLOTTED: an estimate for each stretch.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(PLOTTED), 3.6), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(1, len(PLOTTED)), PLOTTED.items(), strict=True):
        for label, found in curves.items():
            axes.errorbar(frames, [value.mean for value in found[name]], [value.half_width for value in found[name]],
                          label=label, marker="o", markersize=3, capsize=2)
        axes.set(title=title, xlabel="frame", ylim=(0, None))
        axes.title.set_fontsize(9)
    axes.legend(fontsize=8)
    with replacing(path) as unfinished:
        figure.savefig(unfinished, dpi=110, format="png")


def animate(clips: Sequence[Mapping[str, Tensor]], path: Path) -> None:
    """Write videos beside one another as one moving picture: a line of them for each prompt, with the names above.

    Args:
        clips: For each prompt, videos (f, 3, h, w) of one size, values 0 to 1, by the names of their ways.
    """
    rows = [[_named(name, clip) for name, clip in line.items()] for line in clips]
    count = min(len(images) for row in rows for images in row)
    width, height = rows[0][0][0].size
    pictures = []
    for number in range(count):
        picture = Image.new("RGB", (width * len(rows[0]), height * len(rows)), "white")
        for y, row in enumerate(rows):
            for x, images in enumerate(row):
                picture.paste(images[number], (x * width, y * height))
        pictures.append(picture)
    with replacing(path) as unfinished:
        pictures[0].save(unfinished, format="WEBP", save_all=True, append_images=pictures[1:], loop=0, quality=QUALITY,
                         duration=1000 // FPS)


def _named(name: str, clip: Tensor) -> list[Image.Image]:
    """Return the frames of a video as pictures with a name above."""
    found = []
    for frame in (clip.float().cpu() * 255).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy():
        image = Image.new("RGB", (frame.shape[1], frame.shape[0] + LINE), "white")
        ImageDraw.Draw(image).text((2, 1), name, fill="black")
        image.paste(Image.fromarray(frame), (0, LINE))
        found.append(image)
    return found

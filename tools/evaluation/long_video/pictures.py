"""The plot and the moving picture of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from ....storage.atomic import replacing
from ... import side_by_side
from ..intervals import Estimate

PLOTTED = {"identity": "share of videos with the first subject and background", "colour": "drift of colour",
           "texture": "texture over that of the first 16 frames"}


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
    lines = [{name: _images(clip) for name, clip in line.items()} for line in clips]
    with replacing(path) as unfinished:
        side_by_side.animate(lines, unfinished)


def _images(clip: Tensor) -> list[Image.Image]:
    frames = (clip.float().cpu() * 255).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(frame) for frame in frames]

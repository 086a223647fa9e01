"""The sockets that say how large and how long a video is to be, and their check."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.sizes import LATENT_CELL

FEWEST_PIXELS, MOST_PIXELS = 64, 4096
MOST_FRAMES = 100_000
"""More than memory takes as a rule, but not where a video is recorded."""


def size_inputs() -> list[io.Int.Input]:
    """Declare the sockets `width`, `height` and `num_frames`."""
    return [_side_input("width"), _side_input("height"), io.Int.Input(
        "num_frames", default=16, min=1, max=MOST_FRAMES,
        tooltip="Frames of the video. 16 is recommended, which the modules were trained with; more than they know need "
                "Long Video.")]


def _side_input(name: str) -> io.Int.Input:
    return io.Int.Input(
        name, default=512, min=FEWEST_PIXELS, max=MOST_PIXELS, step=LATENT_CELL,
        tooltip=f"The video's {name} in pixels, {FEWEST_PIXELS} to {MOST_PIXELS}, a multiple of {LATENT_CELL}. 512 is "
                "recommended; 768 by 512 works too.")


def check_size(width: int, height: int, num_frames: int) -> None:
    """Refuse what the sockets allow by a link, but no video can have.

    Raises:
        ValueError: A side is too small or no multiple of a latent pixel, or there are no frames.
    """
    if any(side % LATENT_CELL or side < FEWEST_PIXELS for side in (width, height)):
        near = " x ".join(str(max(FEWEST_PIXELS, LATENT_CELL * round(side / LATENT_CELL))) for side in (width, height))
        raise ValueError(f"the video is to have {width} x {height} pixels; both have to be multiples of {LATENT_CELL}, "
                         f"from {FEWEST_PIXELS} on. Take {near}")
    if num_frames < 1:
        raise ValueError(f"the video is to have {num_frames} frames; it needs at least 1, and 16 are recommended")

"""The whole video of a run, and which of its frames a call of the UNet works on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Size


@dataclass(frozen=True)
class Video:
    """What is sampled in one run."""

    shape: Size
    """Of its latents, f 4 h w."""


def frames_of_clip(total_frames: int, num_frames: int, options: dict) -> tuple[int, ...] | None:
    """Return which frames of the video the clips of a call hold; None where nothing says it.

    Args:
        total_frames: Frames of the video.
        num_frames: Frames of a clip: of the whole video, or of one context window.
        options: The call's transformer_options.
    """
    window = options.get("context_window")
    if window is None or window.dim != 0:
        chosen = tuple(range(total_frames))
    else:
        # The host's causal fix puts the frame before the window in front of it.
        before = getattr(window, "causal_anchor_index", None)
        chosen = (*((before,) if before is not None and before >= 0 else ()), *window.index_list)
    return chosen if len(chosen) == num_frames else None

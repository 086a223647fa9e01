"""The ways to make a long video that are compared, and where in it each of them puts parts together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ....samplers.rolling import Rolling

WINDOW = 16
"""Frames that the modules were trained with."""
OWN, WORLD = "own", "world"
"""Clips that the few-step model has made itself, or those of the world that the demo model was trained on."""


@dataclass(frozen=True)
class Way:
    """A way to make a video of any length."""

    name: str
    rolling: Rolling | None = None
    """None: Long Video."""
    same_noise: bool = False
    """Whether the rolling sampler's noise is used over and over; Long Video's always is (FreeNoise)."""
    overlap: int = 4
    """Frames that the windows of Long Video share."""
    steps: int = 4
    tuned_on: str | None = None
    """What clips the motion module was tuned to the rolling sampler on, OWN or WORLD; None: it was not."""
    one_piece: bool = False
    """Whether a video has no more than a window of frames, whatever is asked for."""

    @property
    def slug(self) -> str:
        """Return the name as part of a file's."""
        return self.name.lower().replace(",", "").replace(" ", "-")

    def frames(self, asked: int) -> int:
        """Return the frames of its videos."""
        return min(asked, WINDOW) if self.one_piece else asked

    def borders(self, num_frames: int) -> list[int]:
        """Return the frames after which there is a border: between them and the next, parts are put together."""
        if num_frames <= WINDOW:
            return []
        if self.rolling is None:
            return sorted({frame for before, after in pairwise(windows(num_frames, self.overlap))
                           for frame in range(after.start - 1, before.stop)})
        count = self.rolling.frames_per_level(self.steps)
        return list(range(count - 1, num_frames - 1, count))


def windows(num_frames: int, overlap: int) -> list[range]:
    """Return the frames of Long Video's windows, of which the last one ends with the video."""
    starts = range(0, num_frames - overlap, WINDOW - overlap)
    return [range(at, at + WINDOW) for at in (min(start, num_frames - WINDOW) for start in starts)]


ONE_PIECE = Way("16 frames in one piece", one_piece=True)
LONG_VIDEO = Way("Long Video, overlap 4")
ROLLING, ANCHORED = Way("Rolling Sampler", Rolling(WINDOW)), Way("Rolling Sampler, 4 anchors", Rolling(WINDOW, 4))
TUNED = Way("Rolling Sampler, tuned module", Rolling(WINDOW), tuned_on=OWN)
MAIN = (LONG_VIDEO, ROLLING, ANCHORED, TUNED)
"""What the nodes offer and README compares."""
VARIANTS = {
    Way("Long Video, overlap 8", overlap=8): LONG_VIDEO,
    Way("tuned module, 4 anchors", Rolling(WINDOW, 4), tuned_on=OWN): TUNED,
    Way("module tuned on the world's clips", Rolling(WINDOW), tuned_on=WORLD): TUNED,
    Way("8 anchors", Rolling(WINDOW, 8)): ANCHORED,
    Way("4 anchors at half the lowest noise", Rolling(WINDOW, 4, anchor_noise=0.5)): ANCHORED,
    Way("4 anchors without noise", Rolling(WINDOW, 4, anchor_noise=0.0)): ANCHORED,
    Way("queue of 32 in 2 parts", Rolling(WINDOW, parts=2)): ROLLING,
    Way("queue of 24 in 2 parts, 4 anchors", Rolling(WINDOW, 4, parts=2)): ANCHORED,
    Way("lookahead", Rolling(WINDOW, 8, parts=2)): ROLLING,
    Way("the same noise over and over", Rolling(WINDOW), same_noise=True): ROLLING,
    Way("new frames begin as the last one", Rolling(WINDOW, carried=1.0)): ROLLING,
    Way("no fresh noise between the levels", Rolling(WINDOW, gamma=0.0)): ROLLING,
    Way("2 steps, 8 frames at each level", Rolling(WINDOW), steps=2): ROLLING,
    Way("8 steps, 2 frames at each level", Rolling(WINDOW), steps=8): ROLLING,
}
"""Further rows, and what each is compared with."""
WAYS = {way.name: way for way in (ONE_PIECE, *MAIN, *VARIANTS)}

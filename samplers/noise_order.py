"""The same noise over and over, in another order each time (FreeNoise, Qiu et al. 2023)."""

from __future__ import annotations

import random


def noise_source(frame: int, period: int, group: int, seed: int) -> int:
    """Return the frame of the first period whose noise a frame has.

    Frames change places only within a group, so that no two frames of any `period` that follow one another in whole
    groups have the same noise.

    Args:
        frame: Counted from 0.
        period: Frames that have noise of their own.
        group: Frames that change places, by which the period can be divided.

    Raises:
        ValueError: The period does not come out even.
    """
    if group < 1 or period < group or period % group:
        raise ValueError(f"noise is to be used again every {period} frames in groups of {group}; expected groups that "
                         "divide them")
    if frame < period:
        return frame
    block, place = divmod(frame, group)
    order = random.Random(f"{seed} {block}").sample(range(group), group)
    return block * group % period + order[place]

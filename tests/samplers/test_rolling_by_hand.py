"""The rolling sampler against the same told frame by frame, without slices of a queue."""

from math import sqrt

import pytest
import torch
from animatelcm.samplers.rolling import Rolling
from animatelcm.tests.samplers.test_rolling import SETTINGS, VARIANTS, levels, mixing, noise_of, whole
from torch import Tensor

SIGMAS = levels()
LAST = len(SIGMAS) - 2
"""The lowest level at which a frame is predicted."""


def entering(frame: int) -> Tensor:
    return SIGMAS[0] * noise_of(frame, 0)


def predicted(line: list[tuple[int, Tensor, Tensor]]) -> dict[int, Tensor]:
    """Return x0 by frame of a call's (frame, noise level, latent)."""
    frames, noise_levels, latents = zip(*line, strict=True)
    x0 = mixing(torch.cat(latents), torch.stack(noise_levels), range(frames[0], frames[-1] + 1))
    return dict(zip(frames, x0.split(1), strict=True))


def one_level_on(frame: int, level: int, x: Tensor, x0: Tensor, gamma: float) -> Tensor:
    own, fresh = (x - x0) / SIGMAS[level], noise_of(frame, level + 1)
    return x0 + SIGMAS[level + 1] * (sqrt(1 - gamma**2) * own + gamma * fresh)


def by_hand(num_frames: int, settings: Rolling) -> Tensor:
    """Return a video that is longer than a window, of settings with one part."""
    count = (settings.window - settings.anchors) // (LAST + 1)
    # Level and latent of each frame that is under way; the first window stops at each level for those of one place.
    x, under_way = {frame: entering(frame) for frame in range(settings.window)}, {}
    for level in range(LAST + 1):
        place = LAST - level
        under_way |= {frame: (level, x[frame]) for frame in range(place * count, (place + 1) * count)}
        if level < LAST:
            x0 = predicted([(frame, SIGMAS[level], x[frame]) for frame in x])
            x = {frame: one_level_on(frame, level, x[frame], x0[frame], settings.gamma) for frame in x}
    done: dict[int, Tensor] = {}
    while len(done) < num_frames:
        anchors = sorted(done)[-settings.anchors:] if settings.anchors else []
        share = SIGMAS[LAST] * settings.anchor_noise
        line = [(frame, share, done[frame] + share * noise_of(frame, LAST)) for frame in anchors]
        line += [(frame, SIGMAS[level], latent) for frame, (level, latent) in sorted(under_way.items())]
        following = range(line[-1][0] + 1, line[0][0] + settings.window)
        line += [(frame, SIGMAS[0], entering(frame)) for frame in following]
        x0, newest = predicted(line), max(under_way)
        for frame, (level, latent) in sorted(under_way.items()):
            if level == LAST:
                done[frame] = x0[frame]
                del under_way[frame]
            else:
                under_way[frame] = level + 1, one_level_on(frame, level, latent, x0[frame], settings.gamma)
        for frame in range(newest + 1, newest + 1 + count):
            under_way[frame] = 0, entering(frame) + settings.carried * x0[newest]
    return torch.cat([done[frame] for frame in range(num_frames)])


@pytest.mark.parametrize("settings", [*SETTINGS, *(entry for entry in VARIANTS if entry.parts == 1)], ids=str)
def test_it_is_the_same(settings):
    torch.testing.assert_close(whole(mixing, 37, settings), by_hand(37, settings), atol=1e-4, rtol=1e-4)

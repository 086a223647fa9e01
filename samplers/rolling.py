"""The rolling sampler: one window moves over a video of any length, its frames at falling noise.

Diagonal denoising (FIFO-Diffusion, Kim et al. 2024) with the steps of a few-step network: the window is a queue with
as many frames at each noise level. A network call moves every frame one level on, the foremost ones are finished and
leave, and as many enter at the first level. So a frame is computed beside those before it, which are clearer, and no
two windows have to agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .lcm import check_gamma, renoised

Start = Callable[[range], Tensor]
"""Latents of frames at the first noise level, x0 + sigma eps, f c h w. They do not end with the video: when its last
frames are sampled, others come after them as they do after all frames."""
Model = Callable[[Tensor, Tensor, range], Tensor]
"""Denoised latents from (x, sigma (f,), frames): which frames of the video the f latents are."""
Noise = Callable[[range, int], Tensor]
"""The Gaussian noise of frames, f c h w, with which they go to the noise level of this number; always the same."""


@dataclass(frozen=True)
class Rolling:
    """How the window is used."""

    window: int = 16
    """Frames of a network call."""
    anchors: int = 0
    """How many of them are finished frames, which stay in front at the lowest noise."""
    gamma: float = 1.0
    """Share of fresh noise between two levels, as in sample_lcm."""

    def __post_init__(self) -> None:
        check_gamma(self.gamma)
        if self.window < 1 or not 0 <= self.anchors < self.window:
            raise ValueError(f"window is {self.window} and anchors {self.anchors}; expected a window of 1 frame or "
                             "more and fewer anchors than that. 16 and 0 or 4 are recommended")

    def frames_per_level(self, steps: int) -> int:
        """Return how many frames are at each noise level, and are finished with each network call.

        Raises:
            ValueError: They do not come out even.
        """
        queue = self.window - self.anchors
        if steps < 1 or queue % steps:
            known = [str(count) for count in range(1, queue + 1) if queue % count == 0]
            windows = [steps * count + self.anchors for count in (queue // max(steps, 1), queue // max(steps, 1) + 1)]
            raise ValueError(
                f"{steps} steps do not divide a window of {self.window} frames"
                + (f" of which {self.anchors} are anchors" if self.anchors else "") + f": {queue} frames have to be "
                f"spread evenly over the steps. Use {', '.join(known)} steps, or a window of "
                f"{' or '.join(str(count) for count in windows if count > self.anchors)} frames")
        return queue // steps

    def calls(self, num_frames: int, steps: int) -> int:
        """Return the network calls of a video."""
        if num_frames <= self.window:
            return steps
        return steps - 1 + math.ceil(num_frames / self.frames_per_level(steps))


@dataclass(frozen=True)
class Queue:
    """What is known between two network calls. A run that goes on from it gives the same bits."""

    first: int
    """The first frame that is not finished."""
    x: Tensor
    """The frames from there on, f c h w, at falling noise."""
    clean: Tensor
    """The finished frames right before it that are anchors."""


@torch.no_grad()
def sample_rolling(model: Model, start: Start, num_frames: int, sigmas: Tensor, settings: Rolling, noise: Noise,
                   queue: Queue | None = None) -> Iterator[tuple[Tensor, Queue]]:
    """Yield the finished frames of a video, a few at a time and in order, each time with the queue that is left.

    Args:
        model: The consistency function.
        start: What the video starts from.
        num_frames: Frames of the video; no more than a window of them are sampled in one piece.
        sigmas: Noise levels, descending to 0.
        settings: How the window is used.
        noise: By frame and level, so that a repeated run and one that goes on have the same.
        queue: Where to go on; None: at the start.

    Raises:
        ValueError: The noise levels do not fall to 0, or do not divide the window.
    """
    if len(sigmas) < 2 or sigmas[-1] != 0 or (sigmas.diff() >= 0).any():
        raise ValueError(f"the noise levels are {sigmas.tolist()}; expected falling ones that end in 0")
    if num_frames <= settings.window:
        clean = _one_piece(model, start(range(num_frames)), sigmas, settings.gamma, noise)[-1]
        yield clean, Queue(num_frames, clean[:0], clean[:0])
        return
    queue = queue or _filled(model, start, sigmas, settings, noise)
    while (left := num_frames - queue.first) > 0:
        finished, queue = _advanced(model, start, sigmas, settings, noise, queue)
        yield finished[:left], queue


def _one_piece(model: Model, x: Tensor, sigmas: Tensor, gamma: float, noise: Noise) -> list[Tensor]:
    """Sample the first frames of a video at equal noise; return them at each of the noise levels."""
    frames, states = range(len(x)), [x]
    for level in range(len(sigmas) - 1):
        x0 = model(x, sigmas[level].expand(len(x)), frames)
        last = sigmas[level + 1] == 0
        x = x0 if last else renoised(x, x0, sigmas[level], sigmas[level + 1], gamma, noise(frames, level + 1))
        states.append(x)
    return states


def _filled(model: Model, start: Start, sigmas: Tensor, settings: Rolling, noise: Noise) -> Queue:
    """Return the queue of the first frames: sampled in one piece, each taken where it is at the noise of its place."""
    steps = len(sigmas) - 1
    count = settings.frames_per_level(steps)
    states = _one_piece(model, start(range(settings.window)), sigmas[:-1], settings.gamma, noise)
    parts = [states[steps - 1 - place][place * count:(place + 1) * count] for place in range(steps)]
    return Queue(0, torch.cat(parts), parts[0][:0])


def _advanced(model: Model, start: Start, sigmas: Tensor, settings: Rolling, noise: Noise, queue: Queue
              ) -> tuple[Tensor, Queue]:
    """Move every frame one level on; return the finished ones, and the queue after others have entered."""
    steps = len(sigmas) - 1
    count, last = settings.frames_per_level(steps), queue.first + len(queue.x)
    x0 = _predicted(model, start, sigmas, settings, noise, queue)
    finished, parts = x0[:count], []
    for place in range(1, steps):
        part, level = slice(place * count, (place + 1) * count), steps - 1 - place
        fresh = noise(range(queue.first + part.start, queue.first + part.stop), level + 1)
        parts.append(renoised(queue.x[part], x0[part], sigmas[level], sigmas[level + 1], settings.gamma, fresh))
    parts.append(start(range(last, last + count)))
    clean = torch.cat([queue.clean, finished])[-settings.anchors:] if settings.anchors else queue.clean
    return finished, Queue(queue.first + count, torch.cat(parts), clean)


def _predicted(model: Model, start: Start, sigmas: Tensor, settings: Rolling, noise: Noise, queue: Queue) -> Tensor:
    """Return x0 of the frames of the queue."""
    lowest, anchors = len(sigmas) - 2, len(queue.clean)
    count = settings.frames_per_level(lowest + 1)
    frames = range(queue.first - anchors, queue.first - anchors + settings.window)
    given = [queue.x]
    if anchors:
        given.insert(0, queue.clean + sigmas[lowest] * noise(frames[:anchors], lowest))
    # The network was trained on windows of this length: before there are anchors, others come along behind.
    behind = frames[anchors + len(queue.x):]
    if behind:
        given.append(start(behind))
    levels = [lowest - place // count for place in range(len(queue.x))]
    sigma = sigmas[[lowest] * anchors + levels + [0] * len(behind)]
    return model(torch.cat(given), sigma, frames)[anchors:anchors + len(queue.x)]

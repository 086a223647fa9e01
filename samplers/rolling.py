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
    anchor_noise: float = 1.0
    """Noise of the anchors, as a share of the lowest level; 0: none."""
    parts: int = 1
    """Network calls that move the queue on, each a part of it, beside as many frames before the part as there are
    anchors. More parts without anchors: a longer queue, so that the frames of a call differ less in noise (latent
    partitioning, Kim et al. 2024). Half of the window as anchors and two parts: lookahead denoising, the same paper."""
    carried: float = 0.0
    """Share of the last frame's x0 in frames that enter, beside their noise; for videos that begin as noise alone."""

    def __post_init__(self) -> None:
        check_gamma(self.gamma)
        if self.window < 1 or not 0 <= self.anchors < self.window:
            raise ValueError(f"window is {self.window} and anchors {self.anchors}; expected a window of 1 frame or "
                             "more and fewer anchors than that. 16 and 0 or 4 are recommended")
        if self.anchor_noise < 0 or not 0 <= self.carried <= 1:
            raise ValueError(f"anchor_noise is {self.anchor_noise:g} and carried {self.carried:g}; expected no less "
                             "than 0, and 0 to 1. 1 and 0 are recommended")
        if self.parts < 1:
            raise ValueError(f"parts is {self.parts}; expected 1 or more. 1 is recommended")

    @property
    def queue(self) -> int:
        """Return how many frames are under way at a time."""
        return self.parts * (self.window - self.anchors)

    def frames_per_level(self, steps: int) -> int:
        """Return how many frames are at each noise level, and are finished each time that the queue moves on.

        Raises:
            ValueError: They do not come out even.
        """
        if steps < 1 or self.queue % steps:
            known = [str(count) for count in range(1, self.queue + 1) if self.queue % count == 0]
            windows = [str(window) for window in self._windows_near(max(steps, 1))]
            raise ValueError(
                f"{steps} steps do not divide a window of {self.window} frames"
                + (f" of which {self.anchors} are anchors" if self.anchors else "")
                + (f" and {self.parts} parts" if self.parts > 1 else "") + f": {self.queue} frames have to be "
                f"spread evenly over the steps. Use {', '.join(known)} steps, or a window of {' or '.join(windows)} "
                "frames")
        return self.queue // steps

    def _windows_near(self, steps: int) -> list[int]:
        """Return the next shorter and the next longer window that steps divide, where there are such."""
        def fits(window: int) -> bool:
            return self.parts * (window - self.anchors) % steps == 0

        shorter = range(self.window - 1, self.anchors, -1)
        longer = range(self.window + 1, self.window + steps + 1)
        return [found for windows in (shorter, longer) if (found := next(filter(fits, windows), None))]

    def calls(self, num_frames: int, steps: int) -> int:
        """Return the network calls of a video."""
        if num_frames <= self.window:
            return steps
        filling = (steps - 1) * math.ceil(self.queue / self.window)
        return filling + self.parts * math.ceil(num_frames / self.frames_per_level(steps))


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
        clean = _one_piece(model, start(range(num_frames)), sigmas, settings, noise)[-1]
        yield clean, Queue(num_frames, clean[:0], clean[:0])
        return
    queue = queue or _filled(model, start, sigmas, settings, noise)
    while (left := num_frames - queue.first) > 0:
        finished, queue = _advanced(model, start, sigmas, settings, noise, queue)
        yield finished[:left], queue


def _one_piece(model: Model, x: Tensor, sigmas: Tensor, settings: Rolling, noise: Noise) -> list[Tensor]:
    """Sample the first frames of a video at equal noise; return them at each of the noise levels."""
    frames, states = range(len(x)), [x]
    for level in range(len(sigmas) - 1):
        x0 = torch.cat([model(part, sigmas[level].expand(len(part)), frames[at:at + len(part)]) for at, part in zip(
            range(0, len(x), settings.window), x.split(settings.window), strict=True)])
        last = sigmas[level + 1] == 0
        x = x0 if last else renoised(x, x0, sigmas[level], sigmas[level + 1], settings.gamma, noise(frames, level + 1))
        states.append(x)
    return states


def _filled(model: Model, start: Start, sigmas: Tensor, settings: Rolling, noise: Noise) -> Queue:
    """Return the queue of the first frames: sampled in one piece, each taken where it is at the noise of its place."""
    steps = len(sigmas) - 1
    count = settings.frames_per_level(steps)
    # A queue that is longer than a window has several pieces, which meet as soon as it moves on.
    frames = range(settings.window * math.ceil(settings.queue / settings.window))
    states = _one_piece(model, start(frames), sigmas[:-1], settings, noise)
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
    entering = start(range(last, last + count))
    parts.append(entering + settings.carried * x0[-1:] if settings.carried else entering)
    clean = torch.cat([queue.clean, finished])[-settings.anchors:] if settings.anchors else queue.clean
    return finished, Queue(queue.first + count, torch.cat(parts), clean)


def _predicted(model: Model, start: Start, sigmas: Tensor, settings: Rolling, noise: Noise, queue: Queue) -> Tensor:
    """Return x0 of the frames of the queue, each part of it predicted beside the frames before it."""
    x, sigma, first = _line(start, sigmas, settings, noise, queue)
    size, found = settings.window - settings.anchors, []
    begin = queue.first - first
    for at in range(begin, begin + len(queue.x), size):
        left = max(0, at - settings.anchors)
        inside = slice(left, left + settings.window)
        x0 = model(x[inside], sigma[inside], range(first + inside.start, first + inside.stop))
        found.append(x0[at - left:at - left + size])
    return torch.cat(found)


def _line(start: Start, sigmas: Tensor, settings: Rolling, noise: Noise, queue: Queue) -> tuple[Tensor, Tensor, int]:
    """Return anchors, queue and what comes behind, f c h w, the noise level of each frame, and the first one's number.
    """
    lowest, anchors = len(sigmas) - 2, len(queue.clean)
    count, first = settings.frames_per_level(lowest + 1), queue.first - anchors
    given, levels = [queue.x], [sigmas[[lowest - place // count for place in range(len(queue.x))]]]
    if anchors:
        of_anchors = sigmas[lowest] * settings.anchor_noise
        given.insert(0, queue.clean + of_anchors * noise(range(first, queue.first), lowest))
        levels.insert(0, of_anchors.expand(anchors))
    # The network was trained on windows of this length: before there are anchors, others come along behind.
    behind = range(queue.first + len(queue.x), first + settings.window)
    if behind:
        given.append(start(behind))
        levels.append(sigmas[0].expand(len(behind)))
    return torch.cat(given), torch.cat(levels), first

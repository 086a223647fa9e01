"""Say what a clip of the world shows, without any learned network: the sprite that explains most of its foreground.

What a frame has beyond its background is compared with every subject, in every way that the world may hold it, at every
place, by correlation (SSD in the Fourier domain). The background is the colour of each line along the borders.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from ...demo.backdrops import BACKDROPS, SIZE
from ...demo.scenes import LARGEST, SMALLEST, WAYS, attitude, extent, largest_scale, place
from ...demo.subjects import NAMES, PHASES, SUBJECTS, sprites
from .backdrop_seen import backdrop_of

BORDER = 8
"""Pixels along the left and the right of a frame that show its background."""
SLOWEST = 0.75
"""Pixels per frame below which a subject stays in place; the world's slowest moves twice as far."""
CANDIDATES, FOLLOWED = 5, 3
"""Subjects that are looked at closely, and those of them that are followed through all frames."""
REACH = 36
"""Pixels from the middle of the frame to that of a subject, at most: so much of it is always in view."""
NEAR = 3
"""Pixels around a place found on the coarse grid within which the exact one is looked for."""


@dataclass(frozen=True)
class Look:
    """How a sprite is held."""

    subject: int
    turn: float
    flip: bool
    stretch: float
    scale: float
    phase: int


@dataclass(frozen=True)
class Seen:
    """What a clip shows."""

    subject: str
    way: str
    backdrop: str
    explained: float
    """1 less the share of the subject that is wrong: the squared error over the square of what is there, or should be,
    beyond the background. Mean over the frames, 0 to 1."""
    centres: Tensor
    """Middle of the subject in each frame, (f, 2) as x and y in pixels."""
    masks: Tensor
    """How much of each pixel the sprite covers there, (f, SIZE, SIZE), 0 to 1."""

    @property
    def speed(self) -> float:
        """Return the pixels per frame of the straight line through the centres."""
        return float(velocity(self.centres).norm())


def see(clip: Tensor) -> Seen:
    """Look at a clip (f, 3, SIZE, SIZE), values 0 to 1."""
    clip = clip.float().cpu()
    backdrop = backdrop_of(clip)
    light = torch.tensor(BACKDROPS[backdrop].light)
    few = clip[:: max(1, len(clip) // 4)]
    coarse = Picture.of(few, behind(clip), SIZE // 16)
    gains = torch.stack([coarse.gains(_looks(index, 4, 2), light).amax(0).sum() for index in range(len(NAMES))])
    fine = Picture.of(few, behind(clip), SIZE // 32)
    likely = sorted(gains.topk(CANDIDATES).indices.tolist(),
                    key=lambda index: -float(fine.gains(_looks(index, 2, 3), light).amax(0).sum()))[:FOLLOWED]
    # A glow, or a texture, may fit another's outline; its inside it does not fit.
    followed = {index: _follow(clip, index, light) for index in likely}
    best = max(followed, key=lambda index: followed[index][0])
    explained, centres, masks = followed[best]
    return Seen(NAMES[best], way_of(centres), backdrop, explained, centres, masks)


def behind(clip: Tensor) -> Tensor:
    """Return the background's colour in each line, (3, SIZE, 1): the median along the borders of all frames."""
    borders = torch.cat([clip[..., :BORDER], clip[..., -BORDER:]], dim=3)
    return borders.permute(1, 2, 0, 3).flatten(2).median(2, keepdim=True).values


def way_of(centres: Tensor) -> str:
    """Return where a subject with these centres heads, (f, 2)."""
    step = velocity(centres)
    if step.norm() < SLOWEST:
        return "still"
    return max(WAYS, key=lambda way: float((torch.tensor(WAYS[way]) * step).sum()))


def velocity(centres: Tensor) -> Tensor:
    """Return the slope of a straight line through the centres, (2,) in pixels per frame."""
    time = torch.arange(len(centres)).float()
    time = (time - time.mean()).unsqueeze(1)
    return (time * centres).sum(0) / time.square().sum().clamp(min=1)


@cache
def _looks(subject: int, stride: int, sizes: int) -> tuple[Look, ...]:
    """Return the ways to hold a subject: every attitude, `sizes` sizes, and every `stride`-th phase."""
    found = []
    for way, mirrored in product(WAYS, (False, True)):
        turn, flip, stretch = attitude(SUBJECTS[subject], way, mirrored)
        whole, body = extent(subject, turn, flip, stretch)
        most = largest_scale(way, whole)
        for size in torch.linspace(SMALLEST, LARGEST, 2 * sizes + 1)[1::2].tolist():
            scale = min(size / float((body[2:] - body[:2]).max()), most)
            found += [Look(subject, turn, flip, stretch, scale, phase) for phase in range(0, PHASES, stride)]
    return tuple(dict.fromkeys(found))


@cache
def _drawn(look: Look, cell: int) -> Tensor:
    """Draw a look in the middle of the frame, (4, SIZE / cell, SIZE / cell); all there are take 140 MB."""
    sprite = place(sprites()[look.subject, look.phase:look.phase + 1], torch.full((1, 2), SIZE / 2), look.scale,
                   look.turn, look.flip, look.stretch)
    return F.avg_pool2d(sprite, cell)[0]


@dataclass(frozen=True)
class Picture:
    """Frames made small, and what their correlation with a sprite needs, in the Fourier domain."""

    cell: int
    """Pixels that are one."""
    parts: Tensor
    """Of each frame: what differs from the background, and that times the background, (f, 4, ...)."""
    ground: Tensor
    """Of all frames: one, the background, and its square, (5, ...)."""

    @classmethod
    def of(cls, clip: Tensor, background: Tensor, cell: int) -> Picture:
        """Prepare frames (f, 3, SIZE, SIZE) over a background (3, SIZE, 1)."""
        small = F.avg_pool2d(clip, cell)
        under = F.avg_pool2d(background.expand(3, SIZE, SIZE).unsqueeze(0), cell)[0]
        differs = small - under
        ground = torch.cat([torch.ones_like(under[:1]), under, under.square().sum(0, keepdim=True)])
        return cls(cell, _spectrum(torch.cat([differs, (differs * under).sum(1, keepdim=True)], dim=1)),
                   _spectrum(ground))

    def gains(self, looks: Sequence[Look], light: Tensor) -> Tensor:
        """Return how much of the squared difference each look explains at its best place: (looks, f)."""
        return self.correlate(looks, light).flatten(2).amax(2)

    def correlate(self, looks: Sequence[Look], light: Tensor) -> Tensor:
        """Return the same at every place, (looks, f, y, x): of its middle, REACH before the frame's to REACH behind."""
        drawn = torch.stack([_drawn(look, self.cell) for look in looks])
        colour, opacity = drawn[:, :3] * light.view(3, 1, 1), drawn[:, 3:]
        sprite = _spectrum(torch.cat([colour, -opacity], dim=1)).conj()
        # The square of colour - opacity * background.
        square = _spectrum(torch.cat([colour.square().sum(1, keepdim=True), -2 * colour * opacity, opacity.square()],
                                     dim=1)).conj()
        reach = REACH // self.cell
        return _correlation(2 * sprite, self.parts, reach) - _correlation(square, self.ground.unsqueeze(0), reach)


def _spectrum(pictures: Tensor) -> Tensor:
    """Return the Fourier transform with as much nothing around, so that nothing wraps around."""
    side = 2 * pictures.shape[-1]
    return torch.fft.rfft2(pictures, s=(side, side))


def _correlation(sprites: Tensor, pictures: Tensor, reach: int) -> Tensor:
    """Return the correlation, summed over the channels, of sprites with pictures, no further than `reach` away.

    That is so few places that products with rows of the inverse transform take a fraction of a fast transform's time.

    Args:
        sprites: Conjugate spectra, (n, c, side, side / 2 + 1).
        pictures: Spectra, (f, c, side, side / 2 + 1).

    Returns:
        (n, f, y, x), that of no shift in the middle.
    """
    side, half = sprites.shape[-2:]
    rows, columns = _inverse(side, reach)
    pairs = len(sprites) * len(pictures)
    # h w n c, h w c f -> h w (n f): the products that follow are then of large matrices, and nothing is copied.
    products = sprites.permute(2, 3, 0, 1).flatten(0, 1) @ pictures.permute(2, 3, 1, 0).flatten(0, 1)
    across = columns @ products.view(side, half, pairs)
    found = (rows @ across.view(side, -1)).real
    return found.view(len(rows), len(columns), len(sprites), len(pictures)).permute(2, 3, 0, 1)


@cache
def _inverse(side: int, reach: int) -> tuple[Tensor, Tensor]:
    """Return the inverse transform's rows for the places near the first, (2 reach + 1, side), and those for the half
    that a real picture's spectrum has, (2 reach + 1, side / 2 + 1)."""
    places = torch.arange(-reach, reach + 1).double()
    waves = torch.exp(2j * math.pi / side * places.unsqueeze(1) * torch.arange(side)) / side
    twice = torch.full((side // 2 + 1,), 2.0)
    twice[[0, -1]] = 1.0
    return waves.to(torch.complex64), (waves[:, :side // 2 + 1] * twice).to(torch.complex64)


def _follow(clip: Tensor, subject: int, light: Tensor) -> tuple[float, Tensor, Tensor]:
    """Follow a subject, held in one way through all frames; return the share explained, its centres and its masks."""
    background = behind(clip)
    picture = Picture.of(clip, background, SIZE // 32)
    looks = _looks(subject, 1, 3)
    found = picture.correlate(looks, light)
    gains, places = found.flatten(2).max(2)
    held: dict[Look, list[int]] = {}
    for number, look in enumerate(looks):
        held.setdefault(replace(look, phase=0), []).append(number)
    phases = max(held.values(), key=lambda numbers: float(gains[numbers].amax(0).sum()))
    best = gains[phases].argmax(0).tolist()
    exact = []
    for frame, number in enumerate(phases[index] for index in best):
        y, x = divmod(int(places[number, frame]), found.shape[-1])
        start = SIZE / 2 + (torch.tensor([x, y]) - found.shape[-1] // 2) * picture.cell
        exact.append(_exact(clip[frame], background, looks[number], start, light))
    shares, centres, masks = zip(*exact, strict=True)
    return sum(shares) / len(shares), torch.stack(centres), torch.stack(masks)


def _exact(frame: Tensor, background: Tensor, look: Look, start: Tensor, light: Tensor
           ) -> tuple[float, Tensor, Tensor]:
    """Return the share of a frame that a look explains at the best place near `start`, that place, and its mask."""
    # Whole pixels away it looks the same: it is drawn once, with a border, of which each place cuts a part.
    cell = sprites()[look.subject, look.phase].unsqueeze(0)
    drawn = place(cell, start.unsqueeze(0) + NEAR, look.scale, look.turn, look.flip, look.stretch, SIZE + 2 * NEAR)[0]
    colour, opacity = drawn[:3] * light.view(3, 1, 1), drawn[3:]
    differs = frame - background
    # The square of differs, less that of differs - (colour - opacity * background), written out.
    under = background.expand(3, SIZE, SIZE)
    sheets = torch.cat([2 * colour, opacity, colour.square().sum(0, keepdim=True), colour * opacity, opacity.square()])
    pictures = torch.cat([differs, -2 * (differs * under).sum(0, keepdim=True), -torch.ones_like(under[:1]), 2 * under,
                          -under.square().sum(0, keepdim=True)])
    gains = F.conv2d(sheets.unsqueeze(0), pictures.unsqueeze(0))[0, 0]
    y, x = divmod(int(gains.argmax()), 2 * NEAR + 1)
    colour, opacity = (part[:, y:y + SIZE, x:x + SIZE] for part in (colour, opacity))
    # What the look would add counts as well: where there is nothing, nothing is explained.
    added = colour - opacity * background
    wrong, there, wanted = ((opacity * part.square()).sum() for part in (differs - added, differs, added))
    explained = float((1 - wrong / there.maximum(wanted).clamp(min=1e-6)).clamp(min=0))
    return explained, start + NEAR - torch.tensor([x, y]), opacity[0]

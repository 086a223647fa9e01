"""The backgrounds of the world: a palette, a horizon, and random texture that moves.

The texture is what makes few sampling steps hard: nothing in a caption or in another frame decides it, and a sampler
that averages over what it does not know leaves it out. So it is strong, 8 to 24 pixels wide, which the codec keeps, and
it changes from frame to frame: each wave of a texture runs, and forgets a part of itself in every frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

SIZE = 128
"""Height and width of a frame, in pixels."""
GRID = SIZE // 2
"""Points of a texture along each side; no wave of it is finer."""

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Backdrop:
    """What is known of a background."""

    phrases: tuple[str, ...]
    """How people say it, as a prompt ends."""
    draw: Callable[[torch.Generator, int], Tensor]
    """Draw some frames of it, (f, 3, SIZE, SIZE), values 0 to 1."""
    ground: tuple[int, int] | None
    """Highest and lowest line, in pixels from the top, on which feet stand; None where there is no ground."""
    puff: Colour
    """Colour of what a subject leaves behind on its way."""
    light: Colour = (1.0, 1.0, 1.0)
    """What the light does to a subject's colours."""
    glow: Colour | None = None
    """Light around a subject, where it would be hard to see."""
    shade: float = 0.3
    """Opacity of a shadow."""


# What backgrounds are made of.

@lru_cache(maxsize=32)
def _spectrum(across: float, along: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the amplitude of each wave, and its cycles per pixel to the right and down, (GRID, GRID / 2 + 1)."""
    fx = torch.fft.rfftfreq(GRID).view(1, -1) / 2
    fy = torch.fft.fftfreq(GRID).view(-1, 1) / 2
    octaves = torch.hypot(fx * across, fy * along).clamp(min=1e-4).log2()
    amplitude = torch.exp(-0.5 * (octaves / 0.45).square())
    twice = torch.full((1, GRID // 2 + 1), 2.0)
    twice[0, 0] = twice[0, -1] = 1.0
    # The texture has unit variance: each random number is complex, and most waves count for their mirror image as well.
    return amplitude * GRID ** 2 / (2 * (twice * amplitude.square()).sum()).sqrt(), fx, fy


def texture(rng: torch.Generator, frames: int, across: float, along: float, keep: float, drift: Colour | tuple = (0, 0)
            ) -> Tensor:
    """Return a random texture of unit variance, (f, SIZE, SIZE), that wraps around the frame.

    Args:
        across: Typical wavelength to the right, in pixels.
        along: The same downwards.
        keep: How much of each wave stays from frame to frame, 0 to 1; the rest is drawn anew.
        drift: How far it runs in each frame, in pixels to the right and down.
    """
    amplitude, fx, fy = _spectrum(across, along)
    noise = torch.view_as_complex(torch.randn(frames, GRID, GRID // 2 + 1, 2, generator=rng))
    angle = -2 * math.pi * (fx * drift[0] + fy * drift[1])
    turn = torch.polar(torch.full_like(angle, keep), angle)
    fresh, waves = math.sqrt(1 - keep ** 2), [noise[0]]
    for frame in noise[1:]:
        waves.append(turn * waves[-1] + fresh * frame)
    field = torch.fft.irfft2(torch.stack(waves) * amplitude, s=(GRID, GRID))
    return F.interpolate(field.unsqueeze(1), scale_factor=2, mode="bicubic").squeeze(1)


def spots(x: Tensor, y: Tensor, width: Tensor, height: Tensor, strength: Tensor) -> Tensor:
    """Return soft spots added up, (f, SIZE, SIZE), from their centres, sizes and strengths, each (f or 1, n)."""
    axis = torch.arange(SIZE) + 0.5
    columns = torch.exp(-0.5 * ((axis - x.unsqueeze(-1)) / width.unsqueeze(-1)).square())
    rows = torch.exp(-0.5 * ((axis - y.unsqueeze(-1)) / height.unsqueeze(-1)).square()) * strength.unsqueeze(-1)
    return rows.transpose(1, 2) @ columns


def falling(rng: torch.Generator, frames: int, count: int, speed: tuple[float, float], slope: float
            ) -> tuple[Tensor, Tensor]:
    """Return x and y of what falls through the frame, (f, count), wrapped around a little outside of it."""
    span = SIZE + 24
    start = torch.rand(2, count, generator=rng) * span
    fall = speed[0] + (speed[1] - speed[0]) * torch.rand(count, generator=rng)
    way = torch.arange(frames).unsqueeze(1) * fall
    return (start[0] + slope * way).remainder(span) - 12, (start[1] + way).remainder(span) - 12


def smooth(value: Tensor, low: float, high: float) -> Tensor:
    """Return 0 below `low`, 1 above `high`, and a smooth rise between."""
    ramp = ((value - low) / (high - low)).clamp(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def column(colour: Colour | Tensor) -> Tensor:
    return torch.as_tensor(colour).view(3, 1, 1)


def shades(rng: torch.Generator, *colours: Colour, tint: float = 0.04) -> list[Tensor]:
    """Return colours, (3, 1, 1) each, that differ a little from scene to scene, all in the same way."""
    change = 1 + tint * torch.randn(3, generator=rng) + 0.03 * torch.randn(1, generator=rng)
    return [column((torch.tensor(colour) * change).clamp(0, 1)) for colour in colours]


def gradient(*stops: tuple[float, Tensor]) -> Tensor:
    """Return colours that blend downwards through the stops, (height 0 to 1, colour): (3, SIZE, 1)."""
    down = torch.linspace(0, 1, SIZE).view(1, -1, 1)
    result = stops[0][1].expand(3, SIZE, 1)
    for (high, _), (low, colour) in zip(stops, stops[1:], strict=False):
        result = torch.lerp(result, colour.expand(3, SIZE, 1), ((down - high) / (low - high)).clamp(0, 1))
    return result


def below(rng: torch.Generator, line: float, swing: float) -> Tensor:
    """Return how much of each pixel lies below a hilly horizon, (SIZE, SIZE)."""
    x = torch.linspace(0, 2 * math.pi, SIZE)
    phase = torch.rand(2, generator=rng) * 2 * math.pi
    hills = line + swing * (torch.sin(x + phase[0]) + 0.5 * torch.sin(2 * x + phase[1]))
    return ((torch.arange(SIZE).view(-1, 1) + 0.5 - hills.view(1, -1)) / 1.5 + 0.5).clamp(0, 1)


def between(rng: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(1, generator=rng))


def either(rng: torch.Generator) -> int:
    """Return 1 or -1."""
    return 1 if float(torch.rand(1, generator=rng)) < 0.5 else -1


# The backgrounds.

def sea(rng: torch.Generator, frames: int) -> Tensor:
    """Water with ripples that run against each other."""
    top, deep, foam = shades(rng, (0.22, 0.68, 0.84), (0.03, 0.28, 0.58), (0.80, 0.97, 1.0))
    wind = either(rng) * between(rng, 0.8, 1.6)
    ripples = (texture(rng, frames, 24, 13, 0.72, (wind, 0.3)) + texture(rng, frames, 20, 12, 0.72, (-wind, -0.2)))
    ripples = ripples.unsqueeze(1) / math.sqrt(2)
    water = gradient((0, top), (1, deep)) * (1 + 0.2 * ripples)
    return torch.lerp(water, foam, 0.65 * smooth(ripples, 0.7, 2.4))


def meadow(rng: torch.Generator, frames: int) -> Tensor:
    """Grass that bends in the wind, flowers, and a clear sky."""
    blue, pale, far, near = shades(rng, (0.42, 0.74, 0.96), (0.82, 0.94, 0.98), (0.48, 0.76, 0.30), (0.18, 0.52, 0.16))
    ground = below(rng, between(rng, 38, 54), 3)
    wind = either(rng) * between(rng, 1.0, 2.0)
    blades = texture(rng, frames, 12, 24, 0.65, (wind / 2, 0))
    gusts = texture(rng, frames, 28, 16, 0.72, (wind, 0))
    grass = gradient((0.3, far), (1, near)) * (1 + 0.12 * blades + 0.13 * gusts).unsqueeze(1)
    count = 14
    x, y = torch.rand(1, count, generator=rng) * SIZE, 62 + torch.rand(1, count, generator=rng) * 62
    sway = 1.5 * torch.sin(torch.arange(frames).view(-1, 1) * 0.9 + torch.rand(1, count, generator=rng) * 6.3)
    size = torch.full((1, count), 1.7)
    picked = torch.randint(0, 3, (1, count), generator=rng)
    for kind, colour in enumerate(((1.0, 0.97, 0.92), (1.0, 0.84, 0.25), (0.98, 0.55, 0.72))):
        petals = spots(x + sway, y, size, size, (picked == kind).float()).clamp(max=1)
        grass = torch.lerp(grass, column(colour), petals.unsqueeze(1))
    return torch.lerp(gradient((0, blue), (0.4, pale)), grass, ground)


def sky(rng: torch.Generator, frames: int) -> Tensor:
    """Clouds that drift and change."""
    high, low, white, grey = shades(rng, (0.22, 0.54, 0.92), (0.66, 0.86, 0.98), (1.0, 1.0, 1.0), (0.74, 0.81, 0.92))
    wind = either(rng) * between(rng, 0.8, 1.8)
    banks = texture(rng, frames, 70, 40, 0.95, (wind, 0))
    billows = texture(rng, frames, 22, 16, 0.72, (wind, 0))
    clouds = banks + 0.5 * billows
    # Light comes from above: a cloud is grey where there is more cloud over it.
    lit = smooth(clouds - clouds.roll(5, 1), -0.6, 0.5).unsqueeze(1)
    puffs = torch.lerp(grey, white, lit)
    return torch.lerp(gradient((0, high), (1, low)), puffs, 0.95 * smooth(clouds, 0.0, 1.1).unsqueeze(1))


def night(rng: torch.Generator, frames: int) -> Tensor:
    """Stars that twinkle, the moon, and a faint milky way."""
    high, low, haze = shades(rng, (0.06, 0.07, 0.27), (0.26, 0.19, 0.50), (0.46, 0.40, 0.78))
    veil = texture(rng, frames, 24, 20, 0.7, (0.4, 0))
    result = torch.lerp(gradient((0, high), (1, low)), haze, 0.45 * smooth(veil, -0.6, 2.6).unsqueeze(1))
    count = 44
    place = torch.rand(2, 1, count, generator=rng) * SIZE
    size = 0.9 + 0.9 * torch.rand(1, count, generator=rng).square()
    twinkle = [torch.randn(count, generator=rng)]
    for _ in range(1, frames):
        twinkle.append(0.6 * twinkle[-1] + 0.8 * torch.randn(count, generator=rng))
    bright = (0.75 + 0.45 * torch.stack(twinkle)).clamp(0.05, 1.4)
    stars = spots(place[0], place[1], size, size, bright) + 0.16 * spots(place[0], place[1], 3 * size, 3 * size, bright)
    result = torch.lerp(result, column((1.0, 0.97, 0.85)), stars.clamp(0, 1).unsqueeze(1))
    x, y = between(rng, 14, 114), between(rng, 12, 30)
    return _disc(result, x, y, 8.5, (1.0, 0.96, 0.80), 0.25)


def _disc(image: Tensor, x: float, y: float, radius: float, colour: Colour, glow: float) -> Tensor:
    """Lay a shining disc over an image."""
    axis = torch.arange(SIZE) + 0.5
    distance = torch.hypot(axis.view(1, -1) - x, axis.view(-1, 1) - y)
    halo = glow * torch.exp(-((distance - radius).clamp(min=0) / (1.4 * radius)))
    return torch.lerp(image, column(colour), torch.maximum((radius + 0.5 - distance).clamp(0, 1), halo))


def snow(rng: torch.Generator, frames: int) -> Tensor:
    """Flakes that fall on white hills."""
    high, low, far, near = shades(rng, (0.50, 0.64, 0.82), (0.74, 0.84, 0.94), (0.86, 0.92, 0.99), (0.70, 0.79, 0.93))
    ground = below(rng, between(rng, 66, 82), 4)
    drifts = texture(rng, frames, 24, 12, 0.7, (either(rng) * between(rng, 0.8, 1.6), 0))
    hills = gradient((0.5, far), (1, near)) * (1 + 0.06 * drifts).unsqueeze(1)
    air = gradient((0, high), (0.6, low)) * (1 + 0.06 * texture(rng, frames, 22, 22, 0.7, (0.5, 1))).unsqueeze(1)
    result = torch.lerp(air, hills, ground)
    x, y = falling(rng, frames, 52, (2.0, 4.5), either(rng) * between(rng, 0.1, 0.4))
    x = x + 1.5 * torch.sin(torch.arange(frames).view(-1, 1) * 0.8 + torch.rand(1, 52, generator=rng) * 6.3)
    size = 1.3 + 1.1 * torch.rand(1, 52, generator=rng).square()
    flakes = spots(x, y, size, size, torch.full((1, 52), 1.3)).clamp(max=1)
    return torch.lerp(result, column((1.0, 1.0, 1.0)), flakes.unsqueeze(1))


def rain(rng: torch.Generator, frames: int) -> Tensor:
    """Slanting rain on a wet street."""
    high, low, far, near = shades(rng, (0.25, 0.30, 0.38), (0.50, 0.57, 0.65), (0.38, 0.44, 0.52), (0.20, 0.25, 0.33))
    ground = below(rng, between(rng, 80, 92), 0)
    clouds = texture(rng, frames, 30, 16, 0.72, (0.8, 0))
    air = gradient((0, high), (0.7, low)) * (1 + 0.12 * clouds).unsqueeze(1)
    puddles = texture(rng, frames, 24, 11, 0.5)
    street = gradient((0.6, far), (1, near)) * (1 + 0.24 * puddles).unsqueeze(1)
    result = torch.lerp(air, street, ground)
    slope = either(rng) * between(rng, 0.15, 0.35)
    x, y = falling(rng, frames, 34, (9.0, 13.0), slope)
    # A slanting streak is five spots in a row.
    x, y = (torch.cat([line + lean * step for step in (-5.0, -2.5, 0.0, 2.5, 5.0)], dim=1)
            for line, lean in ((x, slope), (y, 1.0)))
    streaks = spots(x, y, *(torch.full((1, x.shape[1]), value) for value in (0.8, 2.2, 0.6)))
    return torch.lerp(result, column((0.86, 0.92, 1.0)), 0.8 * streaks.clamp(max=1).unsqueeze(1))


def sunset(rng: torch.Generator, frames: int) -> Tensor:
    """A low sun behind red clouds, over a field in the wind."""
    high, middle, low, far, near = shades(
        rng, (0.28, 0.18, 0.48), (0.80, 0.32, 0.44), (1.0, 0.66, 0.42), (0.60, 0.28, 0.34), (0.24, 0.12, 0.26))
    line = between(rng, 72, 86)
    ground = below(rng, line, 3)
    air = gradient((0, high), (0.4, middle), (0.65, low)).expand(frames, 3, SIZE, SIZE)
    air = _disc(air, between(rng, 20, 108), line - between(rng, 6, 22), 15, (1.0, 0.92, 0.62), 0.5)
    clouds = texture(rng, frames, 36, 12, 0.75, (either(rng) * between(rng, 0.6, 1.4), 0))
    air = torch.lerp(air, middle * column((0.86, 0.62, 0.78)), 0.7 * smooth(clouds, 0.2, 1.8).unsqueeze(1))
    blades, gusts = texture(rng, frames, 12, 24, 0.65, (0.5, 0)), texture(rng, frames, 28, 14, 0.72, (1.2, 0))
    field = gradient((0.55, far), (1, near)) * (1 + 0.12 * blades + 0.13 * gusts).unsqueeze(1)
    return torch.lerp(air, field, ground)


def plain(colour: Colour) -> Callable[[torch.Generator, int], Tensor]:
    """Return what draws one colour, a little darker towards the floor."""
    red, green, blue = colour

    def draw(rng: torch.Generator, frames: int) -> Tensor:
        wall, floor = shades(rng, colour, (0.9 * red, 0.9 * green, 0.9 * blue), tint=0.01)
        return gradient((0.3, wall), (1, floor)).expand(frames, 3, SIZE, SIZE)
    return draw


BACKDROPS = {
    "sea": Backdrop(("in the sea", "in the ocean", "in the water"), sea, None, (0.93, 1.0, 1.0)),
    "meadow": Backdrop(("in a meadow", "on the grass", "in a field"), meadow, (98, 122), (0.93, 0.90, 0.72)),
    "sky": Backdrop(("in the sky", "among the clouds", "in the clouds"), sky, None, (1.0, 1.0, 1.0)),
    "night": Backdrop(("at night", "under the stars", "in the dark"), night, None, (1.0, 0.90, 0.60),
                      (0.90, 0.91, 1.0), (0.70, 0.68, 1.0)),
    "snow": Backdrop(("in the snow", "in winter", "while it is snowing"), snow, (98, 122), (0.52, 0.63, 0.86),
                     shade=0.22),
    "rain": Backdrop(("in the rain", "on a rainy day", "while it is raining"), rain, (102, 122), (0.80, 0.87, 0.94),
                     (0.92, 0.95, 1.0), (0.62, 0.70, 0.80)),
    "sunset": Backdrop(("at sunset", "in the evening", "at dusk"), sunset, (98, 122), (1.0, 0.82, 0.58),
                       (1.0, 0.95, 0.90), shade=0.4),
    "white": Backdrop(("on a white background", "on white"), plain((0.96, 0.96, 0.96)), (98, 122), (0.74, 0.76, 0.80)),
    "yellow": Backdrop(("on a yellow background", "on yellow"), plain((1.0, 0.86, 0.46)), (98, 122),
                       (1.0, 0.97, 0.86)),
}

"""A procedural world of captioned clips: coloured shapes that move across a plain background.

A frame shows where its object is heading: it drags a fading trail that is longer the faster it moves, and light falls
in from the side that it heads for. The image stage learns the words for it, so that a motion module, which sees no
text, can carry it through time. The light is what the words are learned by first: a trail looks the same for each
heading but for its turn, whereas each side has a light of its own colour, in the same place in every picture.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

SIZE = 128
"""Height and width of a frame, in pixels."""
FRAMES = 16
"""Frames of a clip."""

COLOURS = {
    "red": (216, 36, 40), "orange": (255, 140, 16), "yellow": (248, 224, 48), "green": (40, 160, 64),
    "cyan": (64, 208, 224), "blue": (36, 72, 216), "purple": (136, 48, 184), "pink": (248, 136, 192),
}
BACKGROUNDS = {"white": (240, 240, 240), "grey": (136, 136, 140), "black": (20, 20, 24), "brown": (92, 64, 44)}
SHAPES = ("circle", "square", "triangle", "star")
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
RADII = {"small": 24.0, "medium": 29.0, "big": 35.0}
"""Radius of the object, in pixels."""
SPEEDS = {"slowly": 1.9, "steadily": 2.7, "quickly": 3.6}
"""Speed of the object, in pixels per frame."""
LIGHTS = {"left": (-0.16, 0.03, 0.16), "right": (0.16, 0.03, -0.16), "up": (-0.12, 0.16, -0.12),
          "down": (0.12, -0.16, 0.12)}
"""What the light from the side that the object heads for adds to the background there: blue, orange, green, violet."""


@dataclass(frozen=True)
class Scene:
    """What a clip shows, in the words of its caption; `x` and `y` place the middle of the path, from 0 to 1."""

    colour: str
    shape: str
    direction: str
    speed: str = "steadily"
    size: str = "medium"
    background: str = "white"
    x: float = 0.5
    y: float = 0.5


def random_scene(rng: random.Random) -> Scene:
    return Scene(
        colour=rng.choice(list(COLOURS)), shape=rng.choice(SHAPES), direction=rng.choice(list(DIRECTIONS)),
        speed=rng.choice(list(SPEEDS)), size=rng.choice(list(RADII)), background=rng.choice(list(BACKGROUNDS)),
        x=rng.random(), y=rng.random(),
    )


def caption(scene: Scene, rng: random.Random | None = None) -> str:
    """Say what the scene shows; with `rng`, size, speed, background and the filler words vary or stay unsaid."""
    def said(text: str, chance: float) -> str:
        return text if rng is None or rng.random() < chance else ""

    verb = "moving" if rng is None else rng.choice(["moving", "moving", "flying", "going"])
    to = said("to the ", 0.0) if rng is None else said("to the ", 0.2)
    words = [
        "a", said(scene.size, 0.6), said(scene.colour, 0.97), scene.shape,
        said(f"{verb} {to if rng else ''}{scene.direction}", 0.97), said(scene.speed, 0.6),
        said(f"on a {scene.background} background", 0.7),
    ]
    return " ".join(word for word in words if word)


def positions(scene: Scene, frames: int = FRAMES) -> Tensor:
    """Return the object's centre in each frame, in pixels, shape (f, 2) as x and y; the whole path stays in view."""
    step = torch.tensor(DIRECTIONS[scene.direction]) * SPEEDS[scene.speed]
    reach = step.abs() * (frames - 1) / 2
    margin = RADII[scene.size] + 2 + reach
    middle = margin + torch.tensor([scene.x, scene.y]) * (SIZE - 2 * margin)
    return middle + step * (torch.arange(frames).unsqueeze(1) - (frames - 1) / 2)


def render(scene: Scene, frames: int = FRAMES) -> Tensor:
    """Draw the clip: shape (f, 3, SIZE, SIZE), values 0 to 1."""
    return draw(scene, positions(scene, frames))


def draw(scene: Scene, centres: Tensor) -> Tensor:
    """Draw one frame of the scene for each centre, (f, 2) in pixels, whatever path they follow."""
    radius, speed = RADII[scene.size], SPEEDS[scene.speed]
    x, y = _offsets(centres)
    colour = torch.tensor(COLOURS[scene.colour]).view(1, 3, 1, 1) / 255
    frame = (torch.tensor(BACKGROUNDS[scene.background]).view(1, 3, 1, 1) / 255 + _light(scene.direction)).clamp(0, 1)
    frame = torch.lerp(frame, colour, _trail(x, y, scene.direction, radius, 4 + 10 * speed).unsqueeze(1))
    return torch.lerp(frame, colour, silhouette(scene, centres).unsqueeze(1))


def silhouette(scene: Scene, centres: Tensor) -> Tensor:
    """Return how much of each pixel the object covers, 0 to 1, in a frame for each centre: (f, SIZE, SIZE)."""
    return coverage(scene.shape, *_offsets(centres), RADII[scene.size])


def _offsets(centres: Tensor) -> tuple[Tensor, Tensor]:
    """Return each pixel's x, (f, 1, SIZE), and y, (f, SIZE, 1), from each centre, (f, 2)."""
    axis = torch.arange(SIZE) + 0.5
    return axis.view(1, 1, -1) - centres[:, 0].view(-1, 1, 1), axis.view(1, -1, 1) - centres[:, 1].view(-1, 1, 1)


def _light(direction: str) -> Tensor:
    """Return what the light adds to the background, (3, SIZE, SIZE): all of it in front, nothing behind."""
    dx, dy = DIRECTIONS[direction]
    ramp = torch.linspace(-1, 1, SIZE)
    strength = (1 + dx * ramp.view(1, -1) + dy * ramp.view(-1, 1)) / 2
    return torch.tensor(LIGHTS[direction]).view(3, 1, 1) * strength


def coverage(shape: str, x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Return how much of each pixel the shape covers, 0 to 1, at offsets `x`, `y` from its centre."""
    return (0.5 - _distance(shape, x, y, radius)).clamp(0, 1)


def _distance(shape: str, x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Return the signed distance to the outline in pixels, negative inside (approximate at the corners)."""
    if shape == "circle":
        return torch.hypot(x, y) - radius
    if shape == "square":
        return torch.maximum(x.abs(), y.abs()) - 0.86 * radius
    if shape == "triangle":
        lean = x.abs() * math.cos(math.pi / 6) - y * 0.5
        return torch.maximum(lean - 0.56 * radius, y - 0.72 * radius)
    if shape == "star":
        angle = torch.atan2(x, -y).remainder(2 * math.pi / 5) - math.pi / 5
        r = torch.hypot(x, y)
        # Each tenth of the star is cut by one line, from a tip at 1.2 radii to a notch at 0.5 radii.
        tip, notch = 1.2 * radius, 0.5 * radius
        px, py = r * angle.abs().cos(), r * angle.abs().sin()
        ax, ay = notch, 0.0
        bx, by = tip * math.cos(math.pi / 5), tip * math.sin(math.pi / 5)
        length = math.hypot(bx - ax, by - ay)
        return ((px - ax) * (by - ay) - (py - ay) * (bx - ax)) / length
    raise ValueError(f"unknown shape {shape!r}; the world has {', '.join(SHAPES)}")


def _trail(x: Tensor, y: Tensor, direction: str, radius: float, length: float) -> Tensor:
    """Return the opacity of the trail behind the object: it narrows, and fades over its last third."""
    dx, dy = DIRECTIONS[direction]
    behind, across = -(x * dx + y * dy), (x * dy - y * dx).abs()
    along = ((behind - 0.3 * radius) / (0.7 * radius + length)).clamp(0, 1)
    width = 0.5 * radius * (1 - 0.6 * along)
    return (0.5 + width - across).clamp(0, 1) * 0.4 * (3 - 3 * along).clamp(max=1) * (behind > 0)


def hints(scene: Scene, centres: Tensor) -> Tensor:
    """Return a hint for each centre, (f, 2): the object's silhouette, white on black, (f, 3, SIZE, SIZE), 0 to 1."""
    return silhouette(scene, centres).unsqueeze(1).repeat(1, 3, 1, 1)

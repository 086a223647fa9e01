"""Say what a clip of the world shows: its colour, shape, direction and background, without any learned network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ...demo.world import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, coverage

SOLID = 0.75
"""Opacity from which a pixel belongs to the object; its trail stays below 0.4."""
SMALLEST = 120
"""Pixels that an object has at least."""
SLOWEST = 0.5
"""Pixels per frame below which an object counts as still."""


@dataclass(frozen=True)
class Detection:
    """What was seen; None where it could not be told."""

    colour: str | None
    shape: str | None
    direction: str | None
    background: str
    speed: float
    """Pixels per frame along the direction."""
    centres: Tensor
    """The object's centre in each frame, (f, 2) as x and y in pixels; NaN where there was no object."""


def detect(clip: Tensor) -> Detection:
    """Detect the object of a clip (f, 3, h, w), values 0 to 1."""
    background = _background(clip)
    colours, masks = _objects(clip, background)
    seen = [index for index, mask in enumerate(masks) if mask is not None]
    centres = torch.full((len(clip), 2), float("nan"))
    for index in seen:
        y, x = ndimage.center_of_mass(masks[index])
        centres[index] = torch.tensor([x + 0.5, y + 0.5])
    velocity = _velocity(centres)
    return Detection(
        colour=_nearest(torch.stack([colours[i] for i in seen]).median(0).values, COLOURS) if seen else None,
        shape=_shape([masks[index] for index in seen]),
        direction=_direction(velocity), background=_nearest(background.median(0).values, BACKGROUNDS),
        speed=float(velocity.abs().max()), centres=centres)


def masks(clip: Tensor) -> tuple[np.ndarray | None, ...]:
    """Return where the object is in each frame of a clip (f, 3, h, w): (h, w), or None where there is none."""
    return _objects(clip, _background(clip))[1]


def _background(clip: Tensor) -> Tensor:
    """Return the colour along the border of each frame, (f, 3)."""
    clip = clip.float().cpu()
    border = torch.cat([clip[..., :3, :].flatten(2), clip[..., -3:, :].flatten(2),
                        clip[..., :, :3].flatten(2), clip[..., :, -3:].flatten(2)], dim=2)
    return border.median(dim=2).values


def _objects(clip: Tensor, background: Tensor) -> tuple[tuple[Tensor, ...], tuple[np.ndarray | None, ...]]:
    """Return the object's colour, (3,), and its mask, (h, w) or None, in each frame."""
    pairs = zip(clip.float().cpu(), background, strict=True)
    return tuple(zip(*(_object(frame, behind) for frame, behind in pairs), strict=True))


def _object(frame: Tensor, background: Tensor) -> tuple[Tensor, np.ndarray | None]:
    """Return the object's colour, (3,), and its mask, (h, w), or None for an empty frame."""
    away = (frame - background.view(3, 1, 1)).norm(dim=0)
    core = away >= 0.7 * away.flatten().kthvalue(int(0.99 * away.numel())).values
    colour = frame[:, core].median(dim=1).values
    towards = colour - background
    opacity = torch.einsum("chw,c->hw", frame - background.view(3, 1, 1), towards)
    opacity = opacity / towards.square().sum().clamp(min=1e-6)
    pieces, count = ndimage.label((opacity > SOLID).numpy())
    if not count or towards.norm() < 0.15:
        return colour, None
    sizes = np.bincount(pieces.ravel())[1:]
    return colour, pieces == sizes.argmax() + 1 if sizes.max() >= SMALLEST else None


def _nearest(colour: Tensor, palette: dict[str, tuple[int, int, int]]) -> str:
    return min(palette, key=lambda name: float((torch.tensor(palette[name]) / 255 - colour).norm()))


def _velocity(centres: Tensor) -> Tensor:
    """Return the slope of a straight line through the centres, (2,) in pixels per frame."""
    known = ~centres.isnan().any(dim=1)
    if known.sum() < 2:
        return torch.zeros(2)
    time = torch.arange(len(centres))[known].float()
    time = time - time.mean()
    return (time.unsqueeze(1) * centres[known]).sum(0) / time.square().sum()


def _direction(velocity: Tensor) -> str | None:
    if velocity.norm() < SLOWEST:
        return None
    return max(DIRECTIONS, key=lambda name: float((torch.tensor(DIRECTIONS[name]).float() * velocity).sum()))


def _shape(masks: list[np.ndarray]) -> str | None:
    """Return the shape that overlaps the masks best, each scaled to the mask's area and laid on its centre."""
    if not masks:
        return None
    return max(SHAPES, key=lambda shape: sum(_overlap(shape, mask) for mask in masks))


def _overlap(shape: str, mask: np.ndarray) -> float:
    """Return the intersection over union of a mask with the shape of its area and centre."""
    y, x = ndimage.center_of_mass(mask)
    radius = float(np.sqrt(mask.sum() / _area(shape)))
    rows, columns = torch.arange(mask.shape[0]), torch.arange(mask.shape[1])
    offset = _centroid(shape) * radius
    drawn = coverage(shape, (columns - x).unsqueeze(0), (rows - y).unsqueeze(1) + offset, radius).numpy() > 0.5
    return float((drawn & mask).sum() / (drawn | mask).sum())


def _unit(shape: str, radius: float = 100.0) -> Tensor:
    axis = torch.arange(-1.5 * radius, 1.5 * radius)
    return coverage(shape, axis.unsqueeze(0), axis.unsqueeze(1), radius)


def _area(shape: str) -> float:
    """Return the shape's area at radius 1."""
    return float(_unit(shape).sum()) / 100.0 ** 2


def _centroid(shape: str) -> float:
    """Return how far the shape's centre of mass lies below its origin, at radius 1."""
    drawn = _unit(shape)
    return float((drawn.sum(1) * torch.arange(-150.0, 150.0)).sum() / drawn.sum()) / 100.0

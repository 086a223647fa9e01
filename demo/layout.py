"""Layouts of the world: where an object is to be, as a ControlNet's hint, and how well a clip keeps to it."""

from __future__ import annotations

import torch
from torch import Tensor

from .detector import masks
from .world import Scene, silhouette

FILE = "controlnet/AnimateLCM_demo_layout.safetensors"
"""The demo's ControlNet, within the folder of its models."""


def hints(scene: Scene, centres: Tensor) -> Tensor:
    """Return a hint for each centre, (f, 2): the object's silhouette, white on black, (f, 3, SIZE, SIZE), 0 to 1."""
    return silhouette(scene, centres).unsqueeze(1).repeat(1, 3, 1, 1)


def layout_iou(clip: Tensor, hints: Tensor) -> Tensor:
    """Return how well each frame's object covers its silhouette: intersection over union, 0 to 1, (f,).

    Args:
        clip: (f, 3, h, w), values 0 to 1.
        hints: A silhouette for each frame, white on black, of the same shape.
    """
    wanted = hints[:, 0].cpu().numpy() > 0.5
    return torch.tensor([0.0 if seen is None else float((seen & there).sum() / (seen | there).sum())
                         for seen, there in zip(masks(clip), wanted, strict=True)])

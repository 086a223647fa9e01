"""What the examples put beside the demo model: a LoRA with another palette, and a LoRA with another movement.

Both are trained with the plain denoising objective on a world that differs in one thing. "pastel" is to the demo model
what a personalised checkpoint is to Stable Diffusion 1.5: it knows nothing of video, nor of few steps. "sway" is a
motion LoRA.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...demo.files import OWN_MOTION, PASTEL, SWAY, TEXT, UNET
from ...demo.scenes import FRAMES, WAYS, Clip, Scene, draw
from ...training import lora
from ...training.config import LoRAConfig
from ...training.fingerprint import settings
from .additions import origin, train_addition, write_half
from .image_training import image_loss
from .latent_cache import Source
from .motion_training import Moving, motion_loss
from .stages import Workspace

SHAPE = LoRAConfig(rank=8, alpha=8.0)
REACH = 10.0
"""Pixels that a swaying subject leaves its path by, to either side."""
FRAMES_IN_A_PALETTE, SWAYING_CLIPS = 6_400, 640
"""Entries of their caches."""


def pastel(frames: Tensor) -> Tensor:
    """Return frames, values 0 to 1, in the palette of the style: the same colours, halfway to white."""
    return (1 + frames) / 2


def plain(frames: Tensor) -> Tensor:
    """Undo `pastel`."""
    return (2 * frames - 1).clamp(0, 1)


def dusk(frames: Tensor) -> Tensor:
    """Return frames in a palette of another base: darker, and bluer."""
    return frames * torch.tensor((0.5, 0.55, 0.75)).view(3, 1, 1)


def faded(frames: Tensor) -> Tensor:
    """Return frames in a palette of another base: halfway to grey."""
    return (frames + frames.mean(-3, keepdim=True)) / 2


def in_pastel(scene: Scene, moments: list[int]) -> Clip:
    """Draw moments of a scene in the palette of the style."""
    return _in(pastel, scene, moments)


def in_dusk(scene: Scene, moments: list[int]) -> Clip:
    return _in(dusk, scene, moments)


def in_faded(scene: Scene, moments: list[int]) -> Clip:
    return _in(faded, scene, moments)


def _in(palette: Callable[[Tensor], Tensor], scene: Scene, moments: list[int]) -> Clip:
    clip = draw(scene, moments)
    return replace(clip, frames=palette(clip.frames))


def swaying(scene: Scene, moments: list[int]) -> Clip:
    """Draw moments of a scene whose subject swings from side to side once on its way, or up and down if it goes to
    the side."""
    across = torch.tensor((1.0, 0.0) if WAYS[scene.way][0] == 0 else (0.0, 1.0))
    swing = torch.sin(torch.tensor(moments) * (2 * math.pi / (FRAMES - 1))) * REACH
    return draw(scene, moments, swing.unsqueeze(1) * across)


def train_pastel(workspace: Workspace, steps: int) -> None:
    """Train a LoRA of the image model on the world in pastel."""
    write_half(workspace, PASTEL, style_lora("pastel", in_pastel, workspace, steps))


def style_lora(name: str, drawn: Callable[[Scene, list[int]], Clip], workspace: Workspace, steps: int
               ) -> dict[str, Tensor]:
    """Train a LoRA of the image model on the world in another palette; return the tensors of its file.

    Args:
        name: Of its checkpoint and of its cache.
        drawn: Draws moments of a scene in the palette.
    """
    from ...demo.model import load_demo_model
    from ...host.training.network import layer_names

    cache = workspace.cached(Source(name, min(FRAMES_IN_A_PALETTE, workspace.images), seed=workspace.seed, draw=drawn))
    image = workspace.image_model()
    names = layer_names(load_demo_model(workspace.weights)[0])
    names = {name.removeprefix("unet."): diffusers for name, diffusers in names.items()}
    lora.inject(image.unet, names, SHAPE, workspace.seed)
    trained = _train(name, image.unet, lambda step: image_loss(image, cache, workspace.seed, step, 16), steps,
                     workspace, UNET, TEXT)
    return lora.export(trained, names, SHAPE)


def train_sway(workspace: Workspace, steps: int) -> None:
    """Train a LoRA of the motion module's attention on a world whose subjects sway."""
    from ...motion.files import read_motion_file
    from ...motion.lora import export
    from ...motion.module import MotionModule

    cache = workspace.cached(Source("sway", min(SWAYING_CLIPS, workspace.clips), True, workspace.seed,
                                    draw=swaying))
    image, file = workspace.image_model(), read_motion_file(workspace.weights / OWN_MOTION)
    network = MotionModule(file.config)
    network.load_state_dict({name: weight.float() for name, weight in file.weights.items()})
    layers = [name for name, _ in network.named_modules() if name.endswith((".to_qkv", ".to_out"))]
    lora.replace_layers(network.requires_grad_(False).to(workspace.device), layers, SHAPE, workspace.seed)
    moving = Moving(image, network)
    trained = _train("sway", network, lambda step: motion_loss(image, moving, cache, workspace.seed, step, 2), steps,
                     workspace, UNET, TEXT, OWN_MOTION)
    write_half(workspace, SWAY, export(trained))


def _train(name: str, network: nn.Module, loss: Callable[[int], Tensor], steps: int, workspace: Workspace, *needed: str
           ) -> dict[str, Tensor]:
    """Train the LoRA layers of `network`; return their averaged weights."""
    network.requires_grad_(False)
    layers = {key: p for key, p in network.named_parameters() if key.endswith((".down.weight", ".up.weight"))}
    for weight in layers.values():
        weight.requires_grad_(True)
    shape = {f"LoRA's {name}": value for name, value in settings(SHAPE).items()}
    return train_addition(name, layers, loss, steps, 2e-3, origin(workspace, *needed).and_settings(shape), workspace)

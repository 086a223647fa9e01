"""What the examples put beside the demo model: a LoRA with another palette, and a LoRA with another movement.

Both are trained with the plain denoising objective on a world that differs in one thing. "pastel" is to the demo model
what a personalised checkpoint is to Stable Diffusion 1.5: it knows nothing of video, nor of few steps. "sway" is a
motion LoRA.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ...demo import world
from ...demo.files import OWN_MOTION, PASTEL, SWAY, TEXT, UNET
from ...storage.atomic import replacing
from ...training import ema, lora
from ...training.config import LoRAConfig
from ...training.fingerprint import settings
from ...training.trainer import Stage
from .denoising import device, finished_image_model, image_loss, motion_loss, origin, recipe, run_loop
from .stages import Workspace

SHAPE = LoRAConfig(rank=8, alpha=8.0)
REACH = 14.0
"""Pixels that a swaying object leaves its path by, to either side."""


def pastel(frames: Tensor) -> Tensor:
    """Return frames, values 0 to 1, in the palette of the style: the same colours, halfway to white."""
    return (1 + frames) / 2


def plain(frames: Tensor) -> Tensor:
    """Undo `pastel`."""
    return (2 * frames - 1).clamp(0, 1)


def swaying(scene: world.Scene) -> Tensor:
    """Draw the scene's clip with an object that swings from side to side once on its way: (f, 3, h, w)."""
    centres = world.positions(scene)
    dx, dy = world.DIRECTIONS[scene.direction]
    across = torch.tensor([dy, dx], dtype=torch.float32).abs()
    swing = torch.sin(torch.linspace(0, 2 * math.pi, len(centres))) * REACH
    margin = world.RADII[scene.size] + 2
    return world.draw(scene, (centres + swing.unsqueeze(1) * across).clamp(margin, world.SIZE - margin))


def train_pastel(workspace: Workspace, steps: int) -> None:
    """Train a LoRA of the image model on the world in pastel."""
    from ...demo import model as demo_model
    from ...host.training.network import layer_names

    image = finished_image_model(workspace.weights)
    names = layer_names(demo_model.load_demo_model(workspace.weights)[0])
    names = {name.removeprefix("unet."): diffusers for name, diffusers in names.items()}
    lora.inject(image.unet, names, SHAPE, workspace.seed)
    trained = _train("pastel", image.unet, lambda step: image_loss(image, workspace.seed, step, style=pastel), steps,
                     workspace, UNET, TEXT)
    _write(lora.export(trained, names, SHAPE), workspace.model_file(PASTEL))


def train_sway(workspace: Workspace, steps: int) -> None:
    """Train a LoRA of the motion module's attention on a world whose objects sway."""
    from ...host.motion import run_options
    from ...motion.files import read_motion_file
    from ...motion.lora import export
    from ...motion.module import MotionModule

    image, file = finished_image_model(workspace.weights), read_motion_file(workspace.weights / OWN_MOTION)
    network = MotionModule(file.config)
    network.load_state_dict({name: weight.float() for name, weight in file.weights.items()})
    layers = [name for name, _ in network.named_modules() if name.endswith((".to_qkv", ".to_out"))]
    lora.replace_layers(network.requires_grad_(False).to(device()), layers, SHAPE, workspace.seed)
    options = run_options(network, image.unet, world.FRAMES)
    trained = _train(
        "sway", network, lambda step: motion_loss(image, options, workspace.seed, step, render=swaying), steps,
        workspace, UNET, TEXT, OWN_MOTION)
    _write(export(trained), workspace.model_file(SWAY))


def _train(name: str, network: nn.Module, loss: Callable[[int], Tensor], steps: int, workspace: Workspace, *needed: str
           ) -> dict[str, Tensor]:
    """Train the LoRA layers of `network`; return their averaged weights."""
    network.requires_grad_(False)
    layers = {key: p.requires_grad_(True) for key, p in network.named_parameters()
              if key.endswith((".down.weight", ".up.weight"))}
    config = recipe(steps, 2e-3, 0.99)
    shape = {f"LoRA's {name}": value for name, value in settings(SHAPE).items()}
    stage = Stage(name, layers, loss, layers, ema.copies(layers),
                  origin=origin(workspace, *needed).and_settings(shape))
    run_loop(name, stage, config, workspace.checkpoints)
    return stage.average


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    with replacing(path) as unfinished:
        save_file({key: tensor.half().contiguous() for key, tensor in tensors.items()}, unfinished)

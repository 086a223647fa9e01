"""Distil the demo model into one that needs four steps and no guidance, with this pack's own training.

Stage "lora" is the spatial LoRA and "t2v" the motion module with it; "i2v" and "adapted" are adapters, an image encoder
and a ControlNet for it, both without a teacher.
Every step draws its entries of the caches, and captions for them, from its own number.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import Tensor

from ...demo.backdrops import SIZE
from ...demo.captions import caption
from ...demo.files import FEW_STEP_LAYOUT, I2V_MOTION, LAYOUT, LORA, MOTION, OWN_MOTION, TEXT, UNET
from ...demo.scenes import FRAMES, outline
from ...samplers.schedules import SCHEDULES
from ...training.config import DistillationConfig, LoopConfig, LoRAConfig, TrainingConfig
from ...training.draws import Examples, Source
from ...training.origin import Origin
from ...training.trainer import Stage
from .additions import origin, write_half
from .denoising import run_loop
from .latent_cache import Cache
from .sampler import Settings, with_lora
from .stages import Workspace

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...host.motion import LoadedMotion
    from ...host.training.runs import Request, RunStage

SCHEDULE = "AnimateLCM text-to-video"
SKIP = (SCHEDULES[SCHEDULE].original_steps or 1) // Settings().steps
"""Grid steps of one that is as long as those of the demo's own sampler."""
GUIDANCE = Settings().cfg - 1
"""The teacher's w: the demo's cfg, less one."""


@dataclass(frozen=True)
class WorldData:
    """Frames or clips of the world, from its caches, as data of a training."""

    workspace: Workspace
    context: Callable[[list[str]], Tensor]
    """Encodes captions, b n d."""
    hints: bool = False
    """Whether clips come with the outlines of their subjects."""

    def origin(self) -> Origin:
        """Return what the batches of a run are made from."""
        counts = {"images": self.workspace.images, "clips": self.workspace.clips}
        return origin(self.workspace, TEXT, UNET).and_settings(counts)

    def source(self, model: ModelPatcher, config: TrainingConfig, device: torch.device) -> Source:
        """Return the batches of a run."""
        cache: Cache = self.workspace.frames_of_scenes if config.frames == 1 else self.workspace.clips_of_scenes

        def batch(number: int) -> Examples:
            rng = random.Random(f"distil {config.seed} {number}")
            indices = [rng.randrange(cache.source.count) for _ in range(config.batch)]
            captions = [caption(cache.source.scene(index), rng) for index in indices]
            latents, context = cache.batch(indices, device), self.context(captions).to(device)
            if config.frames == 1:
                return Examples(latents, context)
            clips = latents.unflatten(0, (config.batch, -1))
            if not self.hints:
                return Examples(clips, context, {})
            hints = torch.stack([outline(cache.source.drawn(index)) for index in indices])
            return Examples(clips, context, {"hint": hints.to(device)})
        return batch

    def empty(self) -> Tensor:
        """Return the encoded empty caption, 1 n d."""
        return self.context([""])


def distil_lora(request: Request, data: WorldData, run: RunStage, workspace: Workspace) -> None:
    """Distil the spatial LoRA."""
    from ...demo.model import load_demo_model
    from ...host.training.runs import distil_spatial_lora

    lora, _ = distil_spatial_lora(load_demo_model(workspace.weights)[0], data, request, run)
    write_half(workspace, LORA, lora)


def distil_motion(request: Request, data: WorldData, run: RunStage, workspace: Workspace) -> None:
    """Distil the motion module, with the spatial LoRA in the student."""
    from ...demo.model import load_demo_model
    from ...host.motion import load_motion
    from ...host.training.runs import distil_motion_module

    model, teacher = load_demo_model(workspace.weights)[0], load_motion(workspace.weights / OWN_MOTION)
    lora = {key: tensor.float() for key, tensor in load_file(workspace.models / LORA).items()}
    motion, _, _ = distil_motion_module(model, teacher, lora, data, request, run)
    write_motion_half(motion, workspace.model_file(MOTION))


def train_encoder(request: Request, data: WorldData, run: RunStage, workspace: Workspace) -> None:
    """Train an adapter: an image encoder for the few-step motion module, which is trained on with it.

    The module is kept halfway between what it was and what it became: it follows the image then, and draws as cleanly
    as before.
    """
    from ...host.training.runs import train_image_encoder

    model, before = _few_step(workspace)
    after, _ = train_image_encoder(model, before, True, data, request, run)
    # Wortsman et al. 2022.
    for own, old in zip(after.patcher.model.parameters(), before.patcher.model.parameters(), strict=True):
        own.lerp_(old.to(own), 0.5)
    write_motion_half(after, workspace.model_file(I2V_MOTION))


def adapt_layout(request: Request, data: WorldData, run: RunStage, workspace: Workspace) -> None:
    """Tune another adapter: the demo's ControlNet, to the few-step model on clips."""
    from comfy.controlnet import load_controlnet

    from ...host.training.control_nets import adapt_control_net, write_control_net

    model, motion = _few_step(workspace)
    control = load_controlnet(str(workspace.models / LAYOUT), model)
    adapted, _ = adapt_control_net(model, motion, control, replace(data, hints=True), request, run)
    write_control_net(adapted, workspace.model_file(FEW_STEP_LAYOUT))


def _few_step(workspace: Workspace) -> tuple[ModelPatcher, LoadedMotion]:
    """Return what was distilled: the MODEL with its spatial LoRA, and the motion module."""
    from ...demo.model import load_demo_model
    from ...host.motion import load_motion

    model = with_lora(load_demo_model(workspace.weights)[0], workspace.models / LORA)
    return model, load_motion(workspace.models / MOTION)


def write_motion_half(motion: LoadedMotion, path: Path) -> None:
    """Write a motion module in half precision."""
    from ...host.saving import write_motion

    write_motion(replace(motion, name=path.name), path, torch.float16)


@dataclass(frozen=True)
class Recipe:
    """How one stage is trained."""

    kind: str
    """What kind of training it is: "image", "motion" or "adapt"."""
    steps: int
    learning_rate: float
    """At first; it falls to zero."""
    skip: int
    """Steps of the grid that one step of the loss crosses."""
    strong_noise: float
    """Share of timesteps that are drawn where the noise is strong."""
    pure_noise: float
    """Share of examples that are hidden altogether, at the last timestep."""
    train: Callable[[Request, WorldData, RunStage, Workspace], None]


RECIPES = {
    "lora": Recipe("image", 700, 2e-3, 1, 0.0, 0.0, distil_lora),
    # Where an object is heading is decided while the noise is nearly everything, and by the words alone where it is all
    # there is; its colours, long after.
    "t2v": Recipe("motion", 500, 5e-4, SKIP, 0.5, 0.4, distil_motion),
    "i2v": Recipe("adapt", 1_000, 1e-3, SKIP, 0.0, 0.0, train_encoder),
    # It works already, and is easily spoilt.
    "adapted": Recipe("adapt", 300, 1e-4, SKIP, 0.0, 0.0, adapt_layout),
}
"""Recipes by stage."""


def settings(stage: str, steps: int, seed: int) -> TrainingConfig:
    """Return how a stage is trained; its guidance is the demo's own."""
    recipe = RECIPES[stage]
    loop = LoopConfig(steps, recipe.learning_rate, rate="cosine", warmup=min(50, steps // 2), weight_decay=0.0,
                      precision="bfloat16", save_every=100)
    distillation = DistillationConfig(skip=recipe.skip, strong_noise=recipe.strong_noise,
                                      pure_noise=recipe.pure_noise, w_min=GUIDANCE, w_max=GUIDANCE)
    images = recipe.kind == "image"
    return TrainingConfig(
        recipe.kind, loop, distillation, LoRAConfig(rank=16, alpha=16.0), batch=16 if images else 1,
        num_frames=1 if images else FRAMES, width=SIZE, height=SIZE, gradient_checkpointing=False,
        seed=seed)


def train_stage(stage: str, workspace: Workspace, steps: int) -> None:
    """Train a stage of `RECIPES`, from its checkpoint if there is one."""
    from ...host.training.runs import Request, checked

    config = settings(stage, steps, workspace.seed)

    def run(training: Stage, config: TrainingConfig) -> list[float]:
        return run_loop(stage, training, config.loop, workspace.folder)

    data = world_data(workspace)
    RECIPES[stage].train(Request(config, SCHEDULE, stage), data, checked(run, print), workspace)


def world_data(workspace: Workspace) -> WorldData:
    """Return the world, with captions as the demo model encodes them."""
    image = workspace.image_model()

    def context(captions: list[str]) -> Tensor:
        with torch.no_grad():
            return image.context(captions)

    return WorldData(workspace, context)

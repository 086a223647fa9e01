"""Distil the demo model into one that needs four steps and no guidance, with this pack's own training.

    python dev.py distil-demo        killed and started again, it goes on where it was

Stage "lora" is the spatial LoRA, "motion" the motion module with it, "encoder" its image encoder and "layout" a
ControlNet for it, both without a teacher.
Every step draws its scenes from its own number; no picture is seen twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..samplers.schedules import SCHEDULES
from ..training.config import DistillationConfig, LoopConfig, LoRAConfig, TrainingConfig
from ..training.draws import Examples, Source
from ..training.loop import Stage
from . import layout, world
from .denoising import finished_image_model, frames_of, latents_of, scenes, walk
from .files import ENCODER, FEW_STEP_LAYOUT, LAYOUT, LORA, MODELS, MOTION
from .sampler import Settings, with_lora
from .stages import arguments

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ..host.motion import LoadedMotion
    from ..host.training import Request

SCHEDULE = "AnimateLCM text-to-video"
SKIP = SCHEDULES[SCHEDULE].original_steps // Settings().steps
"""Grid steps of one that is as long as those of the demo's own sampler."""
GUIDANCE = Settings().cfg - 1
"""The teacher's w: the demo's cfg, less one."""


@dataclass(frozen=True)
class WorldData:
    """Frames or clips of the world without end, as the host's training takes its data."""

    context: Callable[[list[str]], Tensor]
    """Encodes captions, b n d."""
    hints: bool = False
    """Whether clips come with the silhouettes of their objects."""

    def source(self, model: ModelPatcher, config: TrainingConfig, device: torch.device) -> Source:
        """Return the batches of a run."""
        def batch(number: int) -> Examples:
            chosen, rng = scenes(config.seed, number, config.batch)
            context = self.context([world.caption(scene, rng) for scene in chosen])
            if config.num_frames == 1:
                return Examples(latents_of(frames_of(chosen, rng)), context)
            frames = config.num_frames
            clips = torch.stack([latents_of(world.render(scene, frames)) for scene in chosen])
            hints = [layout.hints(scene, world.positions(scene, frames)) for scene in chosen] if self.hints else []
            return Examples(clips, context, {"hint": torch.stack(hints)} if hints else {})
        return batch

    def empty(self) -> Tensor:
        """Return the encoded empty caption, 1 n d."""
        return self.context([""])


def distil_lora(request: Request, data: WorldData, models: Path) -> None:
    """Stage one: a spatial LoRA."""
    from ..host.tiny import load_demo_model
    from ..host.training import distil_spatial_lora

    lora, _ = distil_spatial_lora(load_demo_model()[0], data, request)
    path = models / LORA
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.half() for key, tensor in lora.items()}, path)


def distil_motion(request: Request, data: WorldData, models: Path) -> None:
    """Stage two: the motion module, with that LoRA in the student."""
    from ..host.folders import EMBEDDED, motion_path
    from ..host.motion import load_motion
    from ..host.tiny import load_demo_model
    from ..host.training import distil_motion_module

    teacher = load_motion(motion_path(EMBEDDED))
    lora = {key: tensor.float() for key, tensor in load_file(models / LORA).items()}
    motion, _, _ = distil_motion_module(load_demo_model()[0], teacher, lora, data, request)
    write_half(motion, models / MOTION)


def train_encoder(request: Request, data: WorldData, models: Path) -> None:
    """Stage three: an image encoder for the few-step motion module, which is trained on with it."""
    from ..host.motion import load_motion
    from ..host.tiny import load_demo_model
    from ..host.training import train_image_encoder

    few_step = with_lora(load_demo_model()[0], models / LORA)
    motion, _ = train_image_encoder(few_step, load_motion(models / MOTION), True, data, request)
    write_half(motion, models / ENCODER)


def adapt_layout(request: Request, data: WorldData, models: Path) -> None:
    """Stage three as well: the demo's ControlNet, tuned to the few-step model on clips."""
    from comfy.controlnet import load_controlnet

    from ..host.control_nets import adapt_control_net, write_control_net
    from ..host.motion import load_motion
    from ..host.tiny import load_demo_model

    few_step = with_lora(load_demo_model()[0], models / LORA)
    control = load_controlnet(str(MODELS / LAYOUT), few_step)
    adapted, _ = adapt_control_net(few_step, load_motion(models / MOTION), control, replace(data, hints=True), request)
    path = models / FEW_STEP_LAYOUT
    path.parent.mkdir(parents=True, exist_ok=True)
    write_control_net(adapted, path)


def write_half(motion: LoadedMotion, path: Path) -> None:
    """Write a motion module in half precision."""
    from ..host.saving import write_motion

    path.parent.mkdir(parents=True, exist_ok=True)
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
    run: Callable[[Request, WorldData, Path], None]


RECIPES = {
    "lora": Recipe("image", 1_500, 2e-3, 1, 0.0, distil_lora),
    # Where an object is heading is decided while the noise is nearly everything; its colours, long after.
    "motion": Recipe("motion", 3_000, 5e-4, SKIP, 0.5, distil_motion),
    "encoder": Recipe("adapt", 1_300, 1e-3, SKIP, 0.0, train_encoder),
    # It works already, and is easily spoilt.
    "layout": Recipe("adapt", 300, 1e-4, SKIP, 0.0, adapt_layout),
}
"""Recipes by stage."""


def settings(stage: str, steps: int, seed: int) -> TrainingConfig:
    """Return how a stage is trained; its guidance is the demo's own."""
    recipe = RECIPES[stage]
    loop = LoopConfig(steps, recipe.learning_rate, rate="cosine", warmup=min(50, steps // 2), weight_decay=0.0,
                      save_every=100)
    distillation = DistillationConfig(skip=recipe.skip, strong_noise=recipe.strong_noise, w_min=GUIDANCE,
                                      w_max=GUIDANCE)
    images = recipe.kind == "image"
    return TrainingConfig(
        recipe.kind, loop, distillation, LoRAConfig(rank=32, alpha=32.0), batch=16 if images else 1,
        num_frames=1 if images else world.FRAMES, width=world.SIZE, height=world.SIZE, gradient_checkpointing=False,
        seed=seed)


def main() -> None:
    from ..host.training import Request

    steps = {name: recipe.steps for name, recipe in RECIPES.items()}
    chosen = arguments(__doc__.splitlines()[0], steps, Path("output") / "distil-demo",
                       models={"type": Path, "default": MODELS, "help": "where finished files go"})
    data = WorldData(finished_image_model().context)
    for name in chosen.stages:
        config = settings(name, getattr(chosen, f"{name}_steps"), chosen.seed)

        def through(stage: Stage, config: TrainingConfig, name: str = name) -> list[float]:
            return walk(name, stage, config.loop, chosen.folder)

        request = Request(config, SCHEDULE, name, preview_every=0, tell=print, walk=through)
        RECIPES[name].run(request, data, chosen.models)


if __name__ == "__main__":
    main()

"""A model in a few layers with the parts that the stages look for: a spatial LoRA, a motion module."""

from __future__ import annotations

from dataclasses import replace

import torch
from animatelcm.samplers.schedules import SCHEDULES, alphas_cumprod
from animatelcm.training.config import PRESETS, LoopConfig, LoRAConfig, TrainingConfig
from animatelcm.training.consistency import Diffusion
from animatelcm.training.draws import Examples
from animatelcm.training.lora import inject
from animatelcm.training.seeds import seeded
from animatelcm.training.stages import Setting
from torch import Tensor, nn

NAMES = {"unet.conv": "down_blocks.0.resnets.0.conv1", "unet.attend": "down_blocks.0.attentions.0.proj_in",
         "unet.last": "conv_out"}
LORA = LoRAConfig(rank=2, alpha=4.0)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.attend, self.last = nn.Conv2d(4, 8, 3, 2, 1), nn.Linear(8, 16), nn.Conv2d(4, 4, 1)

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        h = self.conv(z).flatten(2).mean(-1) + context.mean((1, 2), keepdim=True).squeeze(1)
        return z + self.last(torch.tanh(self.attend(h)).view(len(z), 4, 2, 2).repeat_interleave(2, 2)
                             .repeat_interleave(2, 3))


class Model(nn.Module):
    """Takes clips, b f 4 4 4."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.unet, self.motion = UNet(), nn.Linear(4, 4)

    def forward(self, z: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        clips, frames = z.shape[:2]
        h = self.unet(z.flatten(0, 1), context.repeat_interleave(frames, 0)).unflatten(0, (clips, frames))
        return h + 0.1 * self.motion(h - h.mean(1, keepdim=True))


def source(number: int) -> Examples:
    generator = torch.Generator().manual_seed(number)
    return Examples(torch.randn(2, 3, 4, 4, 4, generator=generator), torch.randn(2, 2, 3, generator=generator))


def setting(stage: str, lora: bool = True, loop: LoopConfig | None = None, **distillation) -> Setting:
    """Return everything a stage needs; a LoRA is random in both of its matrices, as after a stage of training."""
    model = Model()
    if lora:
        layers = inject(model, NAMES, LORA)
        for index, layer in enumerate(layers.values()):
            nn.init.normal_(layer.up.weight, generator=torch.Generator().manual_seed(index))
    config: TrainingConfig = PRESETS["tiny"][stage]
    config = replace(config, lora=LORA, loop=loop or LoopConfig(steps=4, learning_rate=1e-2),
                     distillation=replace(config.distillation, **distillation))
    diffusion = Diffusion(alphas_cumprod(SCHEDULES["AnimateDiff"]), "v")
    return Setting(model, source, torch.zeros(1, 2, 3), diffusion, config)

"""The side of the comparisons that diffusers runs: its networks, its scheduler, and the one norm that is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .parity_cases import NAME, Sampled, Size, Text, cases, noise_generator, randomise


def diffusers_networks(size: Size) -> tuple[Any, Any]:
    """Return diffusers' image UNet and motion adapter with random weights."""
    from diffusers import MotionAdapter, UNet2DConditionModel

    unet: Any = UNet2DConditionModel(
        block_out_channels=size.channels, cross_attention_dim=size.context_dim, attention_head_dim=size.heads)
    adapter: Any = MotionAdapter(block_out_channels=size.channels, motion_max_seq_length=64)
    randomise(unet, 1)
    # Early x0 is the network's output times 25: a random network would blow rounding errors up from step to step.
    unet.conv_out.weight.data *= 0.1
    return unet, randomise(adapter, 2)


class FrameNorm(nn.Module):
    """Take a group norm over each frame, (b c f h w), as the motion modules' authors do."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        frames = x.transpose(1, 2)
        return self.norm(frames.flatten(0, 1)).view(frames.shape).transpose(1, 2)


def use_frame_norm(network: nn.Module) -> None:
    """Make a UNetMotionModel's temporal transformers normalise as those of the authors."""
    from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D

    for module in list(network.modules()):
        if isinstance(module, AnimateDiffTransformer3D):
            # Its own type is that of the norm that it was made with.
            transformer: Any = module
            transformer.norm = FrameNorm(transformer.norm)


@torch.inference_mode()
def run_diffusers(unet: nn.Module, text: Text, noise: Tensor, steps: int, cfg: float,
                  beta_end: float = 0.012, original_steps: int = 100) -> Sampled:
    """Sample with a UNetMotionModel and LCMScheduler, with guidance as in diffusers' AnimateDiffPipeline."""
    from diffusers import LCMScheduler

    scheduler: Any = LCMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=beta_end,
                                  original_inference_steps=original_steps, clip_sample=False)
    scheduler.set_timesteps(steps)
    z = noise[0].transpose(0, 1)[None]  # f c h w -> 1 c f h w
    for i, timestep in enumerate(scheduler.timesteps):
        eps = _predict(unet, z, timestep, text[0])
        if cfg != 1:
            without = _predict(unet, z, timestep, text[1])
            eps = without + cfg * (eps - without)
        z = scheduler.step(eps, timestep, z, generator=noise_generator(i + 1), return_dict=False)[0]
    return Sampled(z[0].transpose(0, 1).contiguous(), tuple(scheduler.timesteps.tolist()))


def _predict(unet: nn.Module, z: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
    frames = text.repeat(z.shape[2], 1, 1)
    return unet(z, timestep, encoder_hidden_states=frames, return_dict=False)[0]


@dataclass(frozen=True)
class Expected:
    """What diffusers gives."""

    with_own_norm: Sampled
    """One step, cfg 1, with its own clip-wide norm."""
    runs: dict[tuple[int, float], Sampled]
    """By (steps, cfg), with the authors' norm."""


def diffusers_side(unet: Any, adapter: Any, text: Text, noise: Tensor,
                   progress: Callable[[str], None] = lambda text: None) -> Expected:
    """Run every case in diffusers; `progress` is called after each."""
    from diffusers import UNetMotionModel

    network = UNetMotionModel.from_unet2d(unet, adapter).eval()
    with_own_norm = run_diffusers(network, text, noise, 1, 1.0)
    use_frame_norm(network)
    runs = {}
    for case in cases():
        runs[case] = run_diffusers(network, text, noise, *case)
        progress(f"diffusers, {NAME.format(*case)}: done")
    return Expected(with_own_norm, runs)

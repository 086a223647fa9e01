"""Ways to run one tiny MODEL through the host's sampling nodes."""

from __future__ import annotations

from collections.abc import Callable

import comfy.sample
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_custom_sampler import BasicGuider, CFGGuider, RandomNoise, SamplerCustomAdvanced
from torch import Tensor, nn

from ...host.sampling import model_sampling_for
from ...nodes.sampling import Sampler, Scheduler
from ...samplers.schedules import SCHEDULES
from ..support import TinyV, conditioning, model_from, unet_weights

TEXT_TO_VIDEO = "AnimateLCM text-to-video"
SHAPE = (2, 4, 8, 8)
SEED = 7
PROMPT, NEGATIVE = conditioning(1), conditioning(2)


def v_model() -> ModelPatcher:
    """Return the tiny MODEL with random weights; it predicts v."""
    return model_from(TinyV, unet_weights())


def patched(model: ModelPatcher, name: str = TEXT_TO_VIDEO) -> ModelPatcher:
    """Return a clone with a schedule of ours."""
    clone = model.clone()
    clone.add_object_patch("model_sampling", model_sampling_for(model, SCHEDULES[name]))
    return clone


def host_sampling(*classes: type, **settings) -> nn.Module:
    """Return a model_sampling object as the host makes them."""
    kind = type("ModelSampling", classes, {})
    config = type("Config", (), {"sampling_settings": settings})
    return kind(config())


def with_sampling(model: ModelPatcher, *classes: type, **settings) -> ModelPatcher:
    """Return a clone with a model_sampling object of the host."""
    clone = model.clone()
    clone.add_object_patch("model_sampling", host_sampling(*classes, **settings))
    return clone


def with_network(model: ModelPatcher, network: Callable[[Tensor, Tensor], Tensor]) -> ModelPatcher:
    """Return a clone whose UNet is `network(z, timesteps)`."""
    clone = model.clone()
    clone.add_wrapper(WrappersMP.DIFFUSION_MODEL, lambda executor, x, timesteps, *args, **kwargs: network(x, timesteps))
    return clone


def video(mask: bool = False) -> dict:
    """Return a LATENT with something in it, and with a noise mask over its right half if asked for."""
    latent = {"samples": torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))}
    return latent | ({"noise_mask": (torch.arange(8) > 3).float().expand(1, 1, 8, 8)} if mask else {})


def ksampler(model: ModelPatcher, steps: int = 4, sampler: str = "lcm", scheduler: str = "simple",
             denoise: float = 1.0, cfg: float = 1.0, latent: dict | None = None) -> Tensor:
    """Do what the stock KSampler node does."""
    latent = latent or {"samples": torch.zeros(SHAPE)}
    samples = latent["samples"]
    noise = comfy.sample.prepare_noise(samples, SEED)
    return comfy.sample.sample(
        model, noise, steps, cfg, sampler, scheduler, PROMPT, NEGATIVE, samples, denoise=denoise,
        noise_mask=latent.get("noise_mask"), disable_pbar=True, seed=SEED)


def advanced(model: ModelPatcher, steps: int = 4, sampler=None, denoise: float = 1.0, cfg: float = 1.0,
             latent: dict | None = None) -> Tensor:
    """Do what SamplerCustomAdvanced does with our scheduler and, unless another one is given, our sampler."""
    guider = BasicGuider.execute(model, PROMPT)[0] if cfg == 1 else CFGGuider.execute(
        model, PROMPT, NEGATIVE, cfg)[0]
    sampler = sampler or Sampler.execute(1.0)[0]
    out = SamplerCustomAdvanced.execute(
        RandomNoise.execute(SEED)[0], guider, sampler, Scheduler.execute(model, steps, denoise)[0],
        latent or {"samples": torch.zeros(SHAPE)})
    return out[0]["samples"]

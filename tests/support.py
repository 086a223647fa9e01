"""Tiny models with random weights, and short ways to sample from them."""

from __future__ import annotations

import functools
from pathlib import Path

import comfy.model_base
import comfy.sample
import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from torch import Tensor, nn

from ..demo import model as demo_model
from ..demo.network import UNET
from ..host.motion import LoadedMotion, load_motion
from ..motion.files import write_motion_file
from ..motion.module import MotionConfig, MotionModule
from ..tools.benchmarks import reference_encoder

FAMILY = SCHEDULE = "AnimateLCM text-to-video"
IMAGE_TO_VIDEO = "AnimateLCM image-to-video"
UNET_CONFIG = UNET | {"model_channels": 32, "channel_mult": (1, 2, 2, 2)}
"""SD1.5's layout, resnet for resnet, in a tenth of the channels: half as wide as the demo model's."""
CONTEXT_DIM = UNET_CONFIG["context_dim"]
CONFIG = MotionConfig(channels=(32, 64, 64, 64), heads=8)
"""Fits the tiny UNet; released files have 8 heads, and none says so."""


class TinyV(demo_model.TinySD15):
    """The tiny model, which predicts v as the demo model does."""

    unet_config = UNET_CONFIG


class TinyEps(TinyV):
    """The tiny model with the prediction type of Stable Diffusion 1.5."""

    def model_type(self, state_dict, prefix=""):
        return comfy.model_base.ModelType.EPS


def randomise(module: nn.Module, seed: int) -> nn.Module:
    """Give every parameter random values that keep activations near one; nothing stays at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                parameter.copy_(0.1 * noise + ("norm" in name and name.endswith("weight")))
    return module


@functools.cache
def unet_weights(seed: int = 0) -> dict[str, Tensor]:
    """Return random weights of the tiny UNet."""
    return randomise(demo_model.new_unet(seed, UNET_CONFIG), seed).state_dict()


def tiny_model(seed: int = 0) -> ModelPatcher:
    """Return a MODEL: SD1.5's layout in miniature, random weights, predicts eps."""
    return model_from(TinyEps, unet_weights(seed))


def model_from(kind: type, weights: dict[str, Tensor]) -> ModelPatcher:
    """Return the MODEL that a host's model config makes of UNet weights."""
    config = kind(kind.unet_config)
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, device=None)
    model.diffusion_model.load_state_dict(weights, strict=True)
    return comfy.model_patcher.CoreModelPatcher(
        model, load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device())


def motion_module(config: MotionConfig = CONFIG, seed: int = 1) -> MotionModule:
    """Return a motion module with random weights, output layers included."""
    return randomise(MotionModule(config), seed).eval()


def motion_file(folder: Path, config: MotionConfig = CONFIG, seed: int = 1) -> Path:
    """Write a motion file with random weights."""
    path = folder / f"motion-{seed}.safetensors"
    write_motion_file(path, motion_module(config, seed).state_dict(), FAMILY, SCHEDULE, config)
    return path


def loaded_motion(folder: Path, config: MotionConfig = CONFIG, seed: int = 1) -> LoadedMotion:
    """Return a motion module with random weights, through a file."""
    return load_motion(motion_file(folder, config, seed))


def image_to_video_file(folder: Path, config: MotionConfig = CONFIG, seed: int = 1) -> Path:
    """Write an image-to-video file with random weights."""
    path = folder / f"image-to-video-{seed}.safetensors"
    encoder = reference_encoder.random_weights(config.channels, seed)
    write_motion_file(path, motion_module(config, seed).state_dict(), IMAGE_TO_VIDEO, IMAGE_TO_VIDEO, config, encoder)
    return path


def loaded_image_to_video(folder: Path, config: MotionConfig = CONFIG, seed: int = 1) -> LoadedMotion:
    """Return an image-to-video module with random weights, through a file."""
    return load_motion(image_to_video_file(folder, config, seed))


def conditioning(seed: int, tokens: int = 5, channels: int = CONTEXT_DIM) -> list:
    """Return a random CONDITIONING."""
    return [[torch.randn(1, tokens, channels, generator=torch.Generator().manual_seed(seed)), {}]]


def noise_for(num_frames: int, seed: int = 0, size: int = 8) -> Tensor:
    """Return noise for a clip, f c h w."""
    return torch.randn(num_frames, 4, size, size, generator=torch.Generator().manual_seed(seed))


def run(model: ModelPatcher, num_frames: int = 4, steps: int = 2, cfg: float = 1.0, sampler: str = "euler",
        seed: int = 0, callback=None, positive: list | None = None, negative: list | None = None) -> Tensor:
    """Sample a clip from a MODEL with the host's own sampler, as KSampler does."""
    noise = noise_for(num_frames, seed)
    with torch.inference_mode():
        return comfy.sample.sample(
            model, noise, steps, cfg, sampler, "simple", positive or conditioning(1), negative or conditioning(2),
            torch.zeros_like(noise), disable_pbar=True, seed=seed, callback=callback)


def with_windows(model: ModelPatcher, length: int = 4, overlap: int = 1, causal: bool = False,
                 schedule: str = "standard_static", freenoise: bool = False, fuse: str = "pyramid", stride: int = 1
                 ) -> ModelPatcher:
    """Return a clone with the windows of the host's node Context Windows (Manual)."""
    return ContextWindowsManualNode.execute(
        model, context_length=length, context_overlap=overlap, context_schedule=schedule, context_stride=stride,
        closed_loop=schedule == "looped_uniform", fuse_method=fuse, dim=0, freenoise=freenoise,
        cond_retain_index_list="", causal_window_fix=causal).result[0]


def record_calls(model: ModelPatcher) -> list[tuple[tuple[int, ...], list[float]]]:
    """Return a list that every call of this MODEL's UNet adds the shape of x and the timesteps to."""
    calls = []

    def note(executor, x, timesteps, *args, **kwargs):
        calls.append((tuple(x.shape), timesteps.tolist()))
        return executor(x, timesteps, *args, **kwargs)

    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "test", note)
    return calls


def relative_rms(value: Tensor, reference: Tensor) -> float:
    """Return the RMS of the difference over the RMS of the reference."""
    return ((value - reference).double().pow(2).mean().sqrt() / reference.double().pow(2).mean().sqrt()).item()

"""A network of our own to train, made from a MODEL: the MODEL and its UNet stay as they are, bit for bit.

The host loads weights as inference tensors, which no gradient can pass; and what a training run puts into a UNet has no
place in one that others share. So the UNet is built once more, with the weights that the MODEL samples with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import comfy.lora
import comfy.ops
import comfy.utils
import torch
from comfy.cldm.cldm import ControlNet
from comfy.ldm.modules import attention
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock, TimestepEmbedSequential, UNetModel
from comfy.model_patcher import ModelPatcher
from comfy.model_sampling import EPS, V_PREDICTION
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...motion.image_encoder import ImageEncoder
from ...motion.module import DOWN_SITES, MotionModule
from ...samplers.schedules import Schedule, alphas_cumprod
from ...training.consistency import Diffusion
from ..fit import INPUT_BLOCKS_PER_LEVEL
from ..inserts import AfterBlock, Block
from ..motion import LAYER_PATCH, LoadedMotion, UNetCall, run_options
from ..patchers import positions_of, weights_of
from ..sampling import model_sampling_for, prediction_of

UNET = "diffusion_model."
"""What the keys of the UNet's weights begin with in a MODEL."""
PREDICTIONS = {EPS: "eps", V_PREDICTION: "v"}
ATTENTION = "optimized_attention_override"
"""The option by which the host lets another function attend than the one that it chose."""
PLAIN = {attend.__wrapped__ for attend in (attention.attention_basic, attention.attention_sub_quad,
                                           attention.attention_split, attention.attention_pytorch)}
"""The host's ways to attend in torch's own operations: they have gradients, and run on every device."""
FUSED, PRODUCTS = attention.attention_pytorch.__wrapped__, attention.attention_basic.__wrapped__
FEW_PAIRS = 2**16
"""Pairs of tokens up to which products are faster on a CPU than the fused kernel, whose way back is slow there: twice
as fast at 256 x 256 tokens, three times at 256 x 24, and slower at 1024 x 1024, where they also take memory."""


class Trainable(nn.Module):
    """The UNet, on clips its motion module and image encoder, and a ControlNet, as the training calls a network."""

    def __init__(self, unet: UNetModel, motion: MotionModule | None = None, encoder: ImageEncoder | None = None,
                 gradient_checkpointing: bool = False, control: ControlNet | None = None) -> None:
        super().__init__()
        self.unet, self.motion, self.encoder, self.control = unet, motion, encoder, control
        self.gradient_checkpointing = gradient_checkpointing
        # Memory is estimated on copies elsewhere, which have to do as this one does.
        self.on_cpu = next(unet.parameters()).device.type == "cpu"
        if motion is not None and self.on_cpu:
            motion.attend_in_products()

    def forward(self, z: Tensor, timesteps: Tensor, context: Tensor, reference: Tensor | None = None,
                motion_scale: float = 0.8, hint: Tensor | None = None) -> Tensor:
        """Return the prediction for images (b c h w), or for clips (b f c h w).

        Args:
            timesteps: (b,), or (b, f) where the frames of a clip have their own.
            context: b n d.
            reference: The image that each clip follows, b c h w, where there is an image encoder.
            hint: What the ControlNet follows, where there is one: b f 3 h w in pixels, or b 3 h w for images, 0 to 1.
        """
        clips = z.ndim == 5
        frames = z.shape[1] if clips else 1
        options = self._options(frames, reference if clips else None, motion_scale)
        if clips:
            # b f c h w -> (b f) c h w
            z, context = z.flatten(0, 1), context.repeat_interleave(frames, 0)
            timesteps = timesteps.flatten() if timesteps.ndim == 2 else timesteps.repeat_interleave(frames)
            hint = hint.flatten(0, 1) if hint is not None else None
        residuals = None if hint is None else self._residuals(z, hint, timesteps.float(), context)
        prediction = self.unet(z, timesteps.float(), context, control=residuals, transformer_options=options)
        return prediction.unflatten(0, (-1, frames)) if clips else prediction

    def _residuals(self, z: Tensor, hint: Tensor, timesteps: Tensor, context: Tensor) -> dict[str, list[Tensor]]:
        """Return what the ControlNet adds to the UNet's features."""
        if self.control is None:
            raise ValueError("there is a hint, and no ControlNet that follows it")
        if self.gradient_checkpointing:
            return checkpoint(self.control, z, hint, timesteps, context, use_reentrant=False, preserve_rng_state=False)
        return self.control(z, hint, timesteps, context)

    def _options(self, frames: int, reference: Tensor | None, motion_scale: float) -> dict:
        options = run_options(self.motion, self.unet, frames) if self.motion is not None else {"patches": {}}
        if reference is not None and self.encoder is not None:
            call: UNetCall = options[UNetCall]
            sites = dict(call.sites)
            for block, insert in _inserts(self.encoder, reference, frames, motion_scale).items():
                sites[block] = [insert, *sites.get(block, [])]
            options[UNetCall] = replace(call, sites=sites)
        options[ATTENTION] = partial(attend, on_cpu=self.on_cpu)
        return with_checkpoints(options) if self.gradient_checkpointing else options


def _inserts(encoder: ImageEncoder, reference: Tensor, frames: int, motion_scale: float) -> dict[Block, AfterBlock]:
    """Return what adds each level's features, on the way down before the level's last site."""
    of_clips = [encoder(image.unsqueeze(0), frames, motion_scale) for image in reference]
    # of each clip and level f c h w -> of each level (b f) c h w
    levels = [torch.cat(features) for features in zip(*of_clips, strict=True)]
    return {("input", INPUT_BLOCKS_PER_LEVEL * level + DOWN_SITES): _Addition(features)
            for level, features in enumerate(levels)}


def attend(chosen: Callable[..., Tensor] | None, q: Tensor, k: Tensor, *args, on_cpu: bool = False, **kwargs) -> Tensor:
    """Attend as the host chose to, or as torch does where that is no way to train, or a slow one.

    Kernels for sampling may lack a gradient, as Sage's do, or a form for the CPU, where memory is estimated.
    """
    kernel = chosen if chosen is not None and chosen in PLAIN else FUSED
    if kernel is FUSED and on_cpu and q.shape[-2] * k.shape[-2] <= FEW_PAIRS:
        kernel = PRODUCTS
    return kernel(q, k, *args, **kwargs)


def attending(control: ControlNet) -> ControlNet:
    """Let a ControlNet of our own, which hands no options to its blocks, attend by `attend`."""
    on_cpu = next(control.parameters()).device.type == "cpu"

    def with_options(block: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return args, {**kwargs, "transformer_options": {ATTENTION: partial(attend, on_cpu=on_cpu)}}

    for block in control.modules():
        if isinstance(block, TimestepEmbedSequential):
            block.register_forward_pre_hook(with_options, with_kwargs=True)
    return control


def trainable(model: ModelPatcher, motion: LoadedMotion | None, precision: torch.dtype, device: torch.device,
              gradient_checkpointing: bool) -> Trainable:
    """Return a network of its own with the weights of a MODEL, its LoRAs included, and of a motion module.

    Frozen matrices have the training's precision; what may be trained is in float32.

    Raises:
        ValueError: The MODEL's UNet is not that of Stable Diffusion 1.5.
    """
    network = Trainable(_unet(model, precision, device),
                        _motion(motion, device) if motion is not None else None,
                        _encoder(motion, device) if motion is not None and motion.encoder is not None else None,
                        gradient_checkpointing)
    return network.requires_grad_(False).train()


def diffusion(model: ModelPatcher, schedule: Schedule, device: torch.device) -> Diffusion:
    """Return the noise schedule to train on, with what the MODEL's network predicts.

    Where the MODEL's last timestep is noise alone (zsnr; Lin et al. 2024), the schedule's is so too, as when it is
    sampled.

    Raises:
        ValueError: It predicts neither eps nor v, or eps where there is noise alone.
    """
    sampling = model.get_model_object("model_sampling")
    kind = prediction_of(sampling)
    if kind not in PREDICTIONS:
        raise ValueError(f"this MODEL samples as {getattr(kind, '__name__', kind)}; training needs one that predicts "
                         "eps or v, such as Stable Diffusion 1.5")
    alphas = alphas_cumprod(schedule)
    if getattr(sampling, "zsnr", False):
        if PREDICTIONS[kind] == "eps":
            raise ValueError("this MODEL predicts eps and begins with noise alone (zsnr), where eps says nothing of "
                             "the picture. Set zsnr of ModelSamplingDiscrete to off, or give a MODEL that predicts v")
        alphas = 1 / (1 + model_sampling_for(model, replace(schedule, original_steps=None)).sigmas.double() ** 2)
    return Diffusion(alphas.to(device, torch.float32), PREDICTIONS[kind])


def layer_names(model: ModelPatcher) -> dict[str, str]:
    """Return diffusers' name of each layer of a Trainable's UNet, by its own name."""
    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    # The host also names layers that this UNet lacks, such as the shortcut of a resnet that keeps its channels.
    weights = dict(model.get_model_object("diffusion_model").named_parameters())
    return {f"unet.{own.removesuffix('.weight')}": diffusers.removesuffix(".weight")
            for diffusers, own in names.items() if own.endswith(".weight") and own in weights}


def check_unet(model: ModelPatcher) -> None:
    """Check that a MODEL has a UNet that can be trained here.

    Raises:
        ValueError: It has none.
    """
    network, own = model.get_model_object("diffusion_model"), model.model.model_config.unet_config
    if not isinstance(network, UNetModel) or network.num_classes is not None or own.get("in_channels", 4) != 4:
        raise ValueError(f"this MODEL, a {type(model.model).__name__}, has no UNet of Stable Diffusion 1.5's kind, "
                         "which is all that can be trained here: text to image, 4 latent channels, no other inputs")


def _unet(model: ModelPatcher, precision: torch.dtype, device: torch.device) -> UNetModel:
    check_unet(model)
    config = {**model.model.model_config.unet_config, "dtype": torch.float32}
    with torch.device("meta"):
        unet = UNetModel(**config, operations=comfy.ops.disable_weight_init)
    weights = {}
    for key, weight in weights_of(model, UNET).items():
        # Vectors stay in float32: normalisation layers take no other type beside activations in float32.
        weights[key] = weight.to(device, precision if weight.ndim > 1 else torch.float32)
    unet.load_state_dict(weights, assign=True)
    return unet


def _motion(motion: LoadedMotion, device: torch.device) -> MotionModule:
    motion.check_fixed()
    network = MotionModule(motion.config, device=device, dtype=torch.float32)
    network.load_state_dict(weights_of(motion.patcher))
    network.set_positions(positions_of(motion.patcher.model) or {})
    return network


def _encoder(motion: LoadedMotion, device: torch.device) -> ImageEncoder:
    encoder = ImageEncoder(motion.config.channels, device=device, dtype=torch.float32)
    encoder.load_state_dict(weights_of(motion.encoder))
    return encoder



class _Addition:
    """What an image encoder adds to the features of all clips, (b f) c h w."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    def __call__(self, x: Tensor, num_frames: int) -> Tensor:
        return x + self.features.to(x)


# Gradient checkpointing: each layer and each site is computed again on the way back.

def with_checkpoints(options: dict) -> dict:
    """Return transformer_options under which every block and site keeps its inputs alone for the way back."""
    # Handlers of layers that come after ours are the ones that ours call to run the layer.
    handlers = [*options["patches"].get(LAYER_PATCH, ()), (SpatialTransformer, _again), (ResBlock, _again)]
    options = {**options, "patches": {**options["patches"], LAYER_PATCH: handlers}}
    if UNetCall in options:
        call: UNetCall = options[UNetCall]
        options[UNetCall] = replace(call, sites={block: [_Again(site) for site in sites]
                                                 for block, sites in call.sites.items()})
    return options


def _again(layer: nn.Module, x: Tensor, emb: Tensor, context: Tensor, options: dict, *rest) -> Tensor:
    if isinstance(layer, ResBlock):
        return checkpoint(layer, x, emb, use_reentrant=False, preserve_rng_state=False)
    # A copy: by the time it runs again, the UNet has written other blocks' names into the options.
    x = checkpoint(layer, x, context, dict(options), use_reentrant=False, preserve_rng_state=False)
    options["transformer_index"] += 1
    return x


class _Again:
    """A site that is computed again on the way back; everything it needs is in its arguments."""

    def __init__(self, site: Callable[[Tensor, int], Tensor]) -> None:
        self.site = site

    def __call__(self, x: Tensor, num_frames: int) -> Tensor:
        return checkpoint(self.site, x, num_frames, use_reentrant=False, preserve_rng_state=False)

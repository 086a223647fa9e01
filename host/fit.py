"""Whether a motion module fits a UNet, checked before anything is changed; and the blocks that a UNet consists of."""

from __future__ import annotations

from collections.abc import Iterable

import comfy.supported_models
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock, UNetModel
from comfy.model_patcher import ModelPatcher
from torch import nn

from ..motion.module import DOWN_SITES, MotionModule
from .inserts import Block

INPUT_BLOCKS_PER_LEVEL = DOWN_SITES + 1
"""Input blocks of a UNet level: one for each resnet, and the convolution before it or the one that halves the size."""


def check_fit(model: ModelPatcher, name: str, family: str, network: MotionModule) -> None:
    """Compare what the host takes the MODEL for, and the channels at every site.

    Args:
        name: The motion file's name, for messages.
        family: What the file was recognised as, for messages.

    Raises:
        ValueError: The motion module does not fit the model's UNet.
    """
    unet = model.get_model_object("diffusion_model")
    refusal = f"motion module '{name}' ({family}) does not fit this MODEL: "
    advice = "; use it with a Stable Diffusion 1.5 checkpoint"
    if not isinstance(unet, UNetModel):
        raise ValueError(f"{refusal}it needs a UNet, the MODEL is a {type(unet).__name__}{advice}")
    known = type(getattr(model.model, "model_config", None))
    # Stable Diffusion 2 and Stable Video Diffusion have the same channels, but learned other features.
    if known in comfy.supported_models.models and not issubclass(known, comfy.supported_models.SD15):
        raise ValueError(f"{refusal}it was made for Stable Diffusion 1.5, the MODEL is {known.__name__}{advice}")
    levels, of_unet = len(network.config.channels), len(unet.input_blocks) / INPUT_BLOCKS_PER_LEVEL
    if levels != of_unet:
        raise ValueError(f"{refusal}it has {levels} levels, the UNet has {of_unet:g}{advice}")
    blocks = _blocks(unet)
    for block, site in network.sites().items():
        expected, found = site.norm.num_channels, _channels(blocks[block])
        if found != expected:
            raise ValueError(f"{refusal}at the UNet's {block[0]} block {block[1]} it has {expected} channels, "
                             f"the UNet has {found}{advice}")


def _blocks(unet: UNetModel) -> dict[Block, Iterable[nn.Module]]:
    named = {("input", i): block for i, block in enumerate(unet.input_blocks)}
    named["middle", 0] = unet.middle_block or ()
    return named | {("output", i): block for i, block in enumerate(unet.output_blocks)}


def _channels(block: Iterable[nn.Module]) -> int | None:
    """Return the channels that a UNet block's resnet puts out."""
    return next((layer.out_channels for layer in block if isinstance(layer, ResBlock)), None)


def bare_blocks(unet: UNetModel) -> frozenset[Block]:
    """Return the blocks without a spatial transformer."""
    return frozenset(name for name, block in _blocks(unet).items()
                     if not any(isinstance(layer, SpatialTransformer) for layer in block))

"""The host's UNet: its blocks, and whether a motion module fits them."""

from __future__ import annotations

from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock, UNetModel
from torch import nn

from ..motion.module import DOWN_SITES, MotionModule
from .inserts import Block

BLOCKS_PER_LEVEL = DOWN_SITES + 1
"""Input blocks of a UNet level: one for each resnet, and the convolution before it or the one that halves the size."""


def misfit(network: MotionModule, unet: nn.Module) -> str | None:
    """Say why a motion module does not fit a UNet, comparing the channels at every site; None where it does."""
    if not isinstance(unet, UNetModel):
        return f"it needs a UNet, the MODEL is a {type(unet).__name__}"
    levels, found = len(network.config.channels), len(unet.input_blocks) / BLOCKS_PER_LEVEL
    if levels != found:
        return f"it has {levels} levels, the UNet has {found:g}"
    blocks = _blocks(unet)
    for block, site in network.sites().items():
        expected, found = site.norm.num_channels, _channels(blocks[block])
        if found != expected:
            return f"at the UNet's {block[0]} block {block[1]} it has {expected} channels, the UNet has {found}"
    return None


def bare_blocks(unet: UNetModel) -> frozenset[Block]:
    """Return the blocks without a spatial transformer; their site follows the resnet."""
    return frozenset(name for name, block in _blocks(unet).items()
                     if not any(isinstance(layer, SpatialTransformer) for layer in block))


def _blocks(unet: UNetModel) -> dict[Block, nn.Module]:
    named = {("input", i): block for i, block in enumerate(unet.input_blocks)}
    named["middle", 0] = unet.middle_block
    return named | {("output", i): block for i, block in enumerate(unet.output_blocks)}


def _channels(block) -> int | None:
    """Return the channels that a UNet block's resnet puts out."""
    return next((layer.out_channels for layer in block or () if isinstance(layer, ResBlock)), None)

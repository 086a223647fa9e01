"""Controls of each kind that the stock nodes make, in the tiny UNet's size, with random weights."""

from __future__ import annotations

from collections.abc import Callable

import comfy.controlnet
import comfy.ops
import torch
from comfy.cldm.cldm import ControlNet
from comfy.controlnet import ControlBase, T2IAdapter
from comfy.t2i_adapter.adapter import Adapter
from torch import Tensor

from nodes import ControlNetApplyAdvanced

from ...demo.network import NUM_HEADS, UNET
from ..support import CONFIG as MOTION_CONFIG
from ..support import UNET_CONFIG, conditioning, randomise

CONFIG, DEMO_CONFIG = ({name: value for name, value in unet.items() if name not in ("out_channels", "num_heads")}
                       for unet in (UNET_CONFIG, UNET))
SIZE = 64
"""Pixels of a hint: eight for each latent pixel."""


def hints(count: int, seed: int = 5) -> Tensor:
    """Return random images b h w c, brighter than images are, so that they matter to random weights."""
    return 10 * torch.rand(count, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(seed))


def _network(seed: int, config: dict = CONFIG) -> ControlNet:
    """Return a ControlNet of a UNet's layout, the tiny one's by default, resnet for resnet."""
    network = ControlNet(**config, hint_channels=3, num_heads=NUM_HEADS, device=torch.device("cpu"),
                         operations=comfy.ops.disable_weight_init)
    return randomise(network, seed).eval().requires_grad_(False)


def control_net(seed: int = 6) -> ControlBase:
    """Return what Load ControlNet Model makes of a ControlNet."""
    return comfy.controlnet.ControlNet(_network(seed), load_device=torch.device("cpu"))


def control_lora(config: dict = CONFIG) -> ControlBase:
    """Return what Load ControlNet Model makes of a ControlNet-LoRA: an addition to the UNet's own weights."""
    network = _network(8, config)
    weights = {"lora_controlnet": torch.tensor([])}
    for key, value in network.state_dict().items():
        if key.startswith(("zero_convs", "middle_block_out", "input_hint_block")):
            weights[key] = value
    for block in (1, 4):
        name = f"input_blocks.{block}.0.in_layers.2"
        channels = network.state_dict()[f"{name}.weight"].shape
        weights[f"{name}.up"] = torch.randn(channels[0], 4, generator=torch.Generator().manual_seed(block)) / 8
        weights[f"{name}.down"] = torch.randn(4, *channels[1:], generator=torch.Generator().manual_seed(block)) / 8
    return comfy.controlnet.load_controlnet_state_dict(weights)


def t2i_adapter() -> ControlBase:
    """Return what Load ControlNet Model makes of a T2I-Adapter."""
    adapter = Adapter(cin=3 * 64, channels=list(MOTION_CONFIG.channels), nums_rb=2, ksize=1, sk=True,
                      use_conv=False, xl=False)
    return T2IAdapter(randomise(adapter, 9).eval(), 3 * 64, 8, "nearest-exact", device=torch.device("cpu"))


KINDS: dict[str, Callable[[], ControlBase]] = {
    "ControlNet": control_net, "ControlNet-LoRA": control_lora, "T2I-Adapter": t2i_adapter}


def controlled(control: ControlBase, images: Tensor, strength: float = 1.0, start: float = 0.0, end: float = 1.0,
               before: tuple[list, list] | None = None) -> tuple[list, list]:
    """Do what Apply ControlNet does; return positive and negative."""
    positive, negative = before or (conditioning(1), conditioning(2))
    return ControlNetApplyAdvanced().apply_controlnet(positive, negative, control, images, strength, start, end)

"""LoRA layers for training, and their export under the keys that every LoRA loader reads (Hu et al. 2021)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from .config import LoRAConfig
from .seeds import seeded

TARGETS = re.compile(
    r".*\.(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|ff\.net\.0\.proj|ff\.net\.2|conv1|conv2|conv_shortcut|"
    r"time_emb_proj|downsamplers\.0\.conv|upsamplers\.0\.conv)")
"""The layers that get a LoRA, in diffusers' names: those of LCM-LoRA (Luo et al. 2023; diffusers'
train_lcm_distill_lora_sd_wds.py), which are all of the attention blocks and resnets."""


OTHER_KEY = re.compile(r"(base_model\.model\.|unet\.)+(?P<layer>.+)\.(lora_(?=[AB])|lora\.)(?P<part>A|B|down|up)"
                       r"(\.default)?\.weight")
"""A key of a LoRA that was saved by PEFT or diffusers."""


class LoRALayer(nn.Module):
    """A frozen layer plus a low-rank update, scale * up(down(x)); `up` starts at zero, so it starts as the layer."""

    def __init__(self, layer: nn.Linear | nn.Conv2d, config: LoRAConfig) -> None:
        super().__init__()
        self.layer, self.scale = layer, config.alpha / config.rank
        # Drawn on the CPU, so that a seed means the same on every device.
        at: dict[str, Any] = {"device": "cpu", "dtype": torch.float32}
        self.down: nn.Linear | nn.Conv2d
        self.up: nn.Linear | nn.Conv2d
        if isinstance(layer, nn.Conv2d):
            shape: dict[str, Any] = {"kernel_size": layer.kernel_size, "stride": layer.stride, "padding": layer.padding}
            self.down = nn.Conv2d(layer.in_channels, config.rank, bias=False, **shape, **at)
            self.up = nn.Conv2d(config.rank, layer.out_channels, 1, bias=False, **at)
        else:
            self.down = nn.Linear(layer.in_features, config.rank, bias=False, **at)
            self.up = nn.Linear(config.rank, layer.out_features, bias=False, **at)
        nn.init.zeros_(self.up.weight)
        self.to(layer.weight.device)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output plus the update; where `up` was replaced by one of rank zero, there is none."""
        if self.up.weight.shape[1] == 0:
            return self.layer(x)
        return torch.add(self.layer(x), self.up(self.down(x)), alpha=self.scale)


def inject(network: nn.Module, names: Mapping[str, str], config: LoRAConfig, seed: int = 0) -> dict[str, LoRALayer]:
    """Put LoRA layers into `network`, in place of the layers that LCM-LoRA trains; give it a network of your own.

    Args:
        names: diffusers' name of each of the network's layers, such as "down_blocks.0.attentions.0.proj_in", by the
            network's own.
        seed: Of the random `down` matrices.

    Returns:
        The layers by the network's name.

    Raises:
        ValueError: Not a single layer is one of those.
    """
    chosen = [name for name, diffusers in sorted(names.items()) if TARGETS.fullmatch(diffusers)]
    if not chosen:
        raise ValueError("no layer of the network is one that a LoRA is trained for; its names have to be those of "
                         "the UNet of Stable Diffusion")
    return replace_layers(network, chosen, config, seed)


def replace_layers(network: nn.Module, chosen: Iterable[str], config: LoRAConfig, seed: int = 0
                   ) -> dict[str, LoRALayer]:
    """Put LoRA layers into `network` in place of the layers named; return them by the same names."""
    layers = {}
    with seeded(seed):
        for name in chosen:
            layers[name] = LoRALayer(cast("nn.Linear | nn.Conv2d", network.get_submodule(name)), config)
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, layers[name])
    return layers


def export(weights: Mapping[str, Tensor], names: Mapping[str, str], config: LoRAConfig) -> dict[str, Tensor]:
    """Return a LoRA file's tensors: lora_unet_<name>.lora_down.weight, .lora_up.weight and .alpha.

    Args:
        weights: `<layer>.down.weight` and `<layer>.up.weight` of the injected layers, by the network's names.
        names: As for `inject`.
    """
    tensors = {}
    for name in sorted({key.rsplit(".", 2)[0] for key in weights}):
        key = "lora_unet_" + names[name].replace(".", "_")
        for part in ("down", "up"):
            tensors[f"{key}.lora_{part}.weight"] = weights[f"{name}.{part}.weight"].detach().cpu().contiguous().clone()
        tensors[f"{key}.alpha"] = torch.tensor(config.alpha)
    return tensors


def read(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> tuple[dict[str, Tensor], LoRAConfig]:
    """Return the weights by the network's names, and the shape, of a LoRA file's tensors: the inverse of `export`.

    Raises:
        ValueError: A tensor is for none of the network's layers, is missing or damaged, or the layers differ in rank or
            alpha.
    """
    layers = {"lora_unet_" + diffusers.replace(".", "_"): name for name, diffusers in names.items()}
    weights: dict[str, Tensor] = {}
    alphas: dict[str, float] = {}
    ranks: set[int] = set()
    parts: dict[str, set[str]] = {}
    for key, tensor in tensors.items():
        layer, _, part = kohyas_key(key).partition(".")
        if layer not in layers or part not in ("lora_down.weight", "lora_up.weight", "alpha"):
            raise ValueError(f"the LoRA has a tensor {key[:200]}, which belongs to no layer of this UNet. Expected a "
                             "LoRA with keys such as lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight")
        parts.setdefault(layer, set()).add(part)
        if part == "alpha":
            alphas[layer] = _alpha(key, tensor)
            continue
        if tensor.ndim < 2 or not len(tensor) or not tensor.is_floating_point():
            raise ValueError(f"the LoRA has a tensor {key} of the shape {tuple(tensor.shape)} ({tensor.dtype}); "
                             "expected a matrix of a floating-point type")
        part = part.removeprefix("lora_").removesuffix(".weight")
        weight = weights[f"{layers[layer]}.{part}.weight"] = tensor.float()
        if not weight.isfinite().all():
            raise ValueError(f"the LoRA is damaged: {key} holds NaN or infinite values. Make or download it again")
        if part == "down":
            ranks.add(len(tensor))
            alphas.setdefault(layer, float(len(tensor)))
    for layer, found in parts.items():
        if missing := {"lora_down.weight", "lora_up.weight"} - found:
            raise ValueError(f"the LoRA is incomplete: {layer} has no {missing.pop()}. Make or download it again")
    if len(ranks) != 1 or len(set(alphas.values())) != 1:
        raise ValueError(f"the LoRA has layers of the ranks {sorted(ranks)[:9]} and alphas "
                         f"{sorted(set(alphas.values()))[:9]}; expected one rank and one alpha")
    return weights, LoRAConfig(ranks.pop(), next(iter(alphas.values())))


def kohyas_key(key: str) -> str:
    """Return a LoRA tensor's key as kohya's programs write it, from PEFT's or diffusers' own; others stay as they are.

    PEFT writes base_model.model.<layer>.lora_A.weight, diffusers unet.<layer>.lora.down.weight or .lora_A.weight.
    """
    if (found := OTHER_KEY.fullmatch(key)) is None:
        return key
    part = {"A": "down", "B": "up"}.get(found["part"], found["part"])
    return f"lora_unet_{found['layer'].replace('.', '_')}.lora_{part}.weight"


def fill(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put a LoRA's weights into the layers that `inject` made for them.

    Raises:
        ValueError: They are for layers of other sizes.
    """
    own = network.state_dict()
    for name, weight in weights.items():
        if weight.shape != own[name].shape:
            raise ValueError(f"the LoRA does not fit this UNet: {name} is {tuple(weight.shape)}, expected "
                             f"{tuple(own[name].shape)}. Give one that was made for the same kind of model")
    network.load_state_dict(weights, strict=False)


def _alpha(key: str, tensor: Tensor) -> float:
    alpha = float(tensor.item()) if tensor.numel() == 1 and not tensor.is_complex() else math.nan
    if not 0 < alpha < math.inf:
        raise ValueError(f"the LoRA has an alpha that cannot be: {key} is {alpha}, of the shape {tuple(tensor.shape)}; "
                         "expected one number above 0")
    return alpha

"""Motion files of every family, put together by hand: one set of weights under the keys of each layout."""

from __future__ import annotations

import functools
import math

import torch
from safetensors.torch import save_file

from ...tools.benchmarks import reference_encoder

CHANNELS = (32, 64, 32, 64)
SITES = [(f"down_blocks.{b}.motion_modules.{j}", c) for b, c in enumerate(CHANNELS) for j in range(2)]
SITES += [(f"up_blocks.{b}.motion_modules.{j}", c) for b, c in enumerate(reversed(CHANNELS)) for j in range(3)]
MIDDLE = ("mid_block.motion_modules.0", CHANNELS[-1])
# a layer of AnimateDiff's layout and its shape, in multiples of the width; then the diffusers name
BLOCK = "transformer_blocks.0"
ATTENTION = {f"{part}.weight": (1, 1) for part in ("to_q", "to_k", "to_v", "to_out.0")} | {"to_out.0.bias": (1,)}
LAYERS = [
    *((f"{name}.{kind}", f"{name}.{kind}", (1,) if kind == "bias" or name == "norm" else (1, 1))
      for name in ("norm", "proj_in", "proj_out") for kind in ("weight", "bias")),
    *((f"{BLOCK}.attention_blocks.{i}.{key}", f"{BLOCK}.attn{i + 1}.{key}", shape)
      for i in range(2) for key, shape in ATTENTION.items()),
    *((f"{BLOCK}.{theirs}.{kind}", f"{BLOCK}.{diffusers}.{kind}", (1,))
      for theirs, diffusers in (("norms.0", "norm1"), ("norms.1", "norm2"), ("ff_norm", "norm3"))
      for kind in ("weight", "bias")),
    *((f"{BLOCK}.ff.net.{key}", f"{BLOCK}.ff.net.{key}", shape)
      for key, shape in {"0.proj.weight": (8, 1), "0.proj.bias": (8,), "2.weight": (1, 4), "2.bias": (1,)}.items()),
]


@functools.cache
def table(frames, channels):
    """The sinusoid, written element by element."""
    return torch.tensor([[(math.cos if i % 2 else math.sin)(p * 10000 ** (-(i - i % 2) / channels))
                          for i in range(channels)] for p in range(frames)])[None]


def animatediff(mid_block=True, frames=None, position_name="pe", dtype=torch.float32, sites=SITES):
    """A file's tensors in AnimateDiff's layout; the weights do not depend on the arguments."""
    generator = torch.Generator().manual_seed(0)
    tables = {c: table(frames, c).to(dtype) for c in set(CHANNELS)} if frames else {}
    tensors = {}
    for site, c in [MIDDLE, *sites] if mid_block else sites:
        generator.manual_seed(sum(site.encode()) * 31 + c)
        for key, _, shape in LAYERS:
            tensor = torch.randn([c * n for n in shape], generator=generator) / math.sqrt(c)
            tensors[f"{site}.temporal_transformer.{key}"] = tensor.to(dtype)
        for i in range(2) if frames else ():
            key = f"{site}.temporal_transformer.{BLOCK}.attention_blocks.{i}.pos_encoder.{position_name}"
            tensors[key] = tables[c].clone()
    return tensors


def adapter(mid_block=True, frames=32):
    """The same weights as diffusers saves them."""
    names = {f".temporal_transformer.{theirs}": f".{diffusers}" for theirs, diffusers, _ in LAYERS}
    tensors = {}
    for key, tensor in animatediff(mid_block).items():
        site, _, rest = key.partition(".temporal_transformer")
        tensors[site + names[f".temporal_transformer{rest}"]] = tensor
        channels = dict([MIDDLE, *SITES])[site]
        tensors.setdefault(f"{site}.{BLOCK}.pos_embed.pe", table(frames, channels).clone())
    return tensors


def save(path, tensors, metadata=None, **options):
    if path.suffix == ".safetensors":
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata)
    else:
        torch.save(tensors, path, **options)
    return path


def equal(weights, others):
    assert weights.keys() == others.keys()
    assert all(a.dtype == others[key].dtype and torch.equal(a, others[key]) for key, a in weights.items())


def expected_weights(mid_block=True, dtype=torch.float32):
    """The canonical tensors, put together by hand from AnimateDiff's."""
    source, names = animatediff(mid_block, dtype=dtype), {}
    for site, _ in [MIDDLE, *SITES] if mid_block else SITES:
        root = f"{site}.temporal_transformer"
        renamed = {"norm": "norm", "proj_in": "proj_in", "proj_out": "proj_out", "ff_norm": f"{BLOCK}.ff_norm",
                   "ff_in": f"{BLOCK}.ff.net.0.proj", "ff_out": f"{BLOCK}.ff.net.2",
                   "attentions.0.norm": f"{BLOCK}.norms.0", "attentions.1.norm": f"{BLOCK}.norms.1",
                   "attentions.0.to_out": f"{BLOCK}.attention_blocks.0.to_out.0",
                   "attentions.1.to_out": f"{BLOCK}.attention_blocks.1.to_out.0"}
        for ours, theirs in renamed.items():
            for kind in ("weight", "bias"):
                names[f"{site}.{ours}.{kind}"] = source[f"{root}.{theirs}.{kind}"]
        for i in range(2):
            q, k, v = (source[f"{root}.{BLOCK}.attention_blocks.{i}.to_{part}.weight"] for part in "qkv")
            names[f"{site}.attentions.{i}.to_qkv.weight"] = torch.cat([q, k, v])
    return names


IMAGE_ENCODER = reference_encoder.random_weights(CHANNELS)
BIASES = ("body.0.block1.bias", "body.0.block2.bias")
I2V = animatediff() | {f"img_encoder.{key}": tensor for key, tensor in IMAGE_ENCODER.items()}
T2V, V2 = animatediff(), animatediff(frames=32)
KEY = "down_blocks.1.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.to_k.weight"

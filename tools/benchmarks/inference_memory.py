"""Compute how much memory and how many operations a run needs on a GPU, without one.

    python standalone.py tools.benchmarks.inference_memory             the table of docs/speed.md
    python standalone.py tools.benchmarks.inference_memory --check     the same count beside a measured peak, on a CPU

The UNet of Stable Diffusion 1.5 and a motion module run once on tensors that have a shape and no values. Counted are
the bytes of all tensors that there are at a time, and the operations of matrix products, convolutions and attention.
Attention is taken as a kernel that never holds its whole matrix. What is left out: the workspace of such kernels, what
torch keeps in reserve, the GPU's driver, and other programs.
"""

from __future__ import annotations

import argparse
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from .bench import CHANNELS, UNET_CONFIG, build_model, step, with_motion
from .long_video_memory import tensor_peak
from .rows import GIB, Table

if TYPE_CHECKING:
    from ...motion.module import MotionModule

FRAMES, PIXELS, STEPS = (16, 32, 64), 512, 4
WINDOW, OVERLAP = 16, 4
"""Of Long Video, as it is set at first."""
TERA = 1e12


@dataclass(frozen=True)
class Need:
    """What one call of the UNet with its motion module needs."""

    weights: int
    """Bytes."""
    activations: int
    """Bytes of all other tensors at their peak."""
    operations: float


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of the tensors that are made within it and are still there.

    Args:
        weights: Tensors that are there before, of which views are made; they do not count.
        inputs: The same, and they count.
    """

    def __init__(self, weights: Iterable[Tensor], inputs: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = sum(tensor.nbytes for tensor in inputs)
        self.known = {tensor.untyped_storage()._cdata for tensor in (*weights, *inputs)}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, Tensor):
                self._note(made.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        # Views and what is written in place have a storage that is known.
        place = storage._cdata
        if place not in self.known:
            self.known.add(place)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, place, storage.nbytes())

    def _forget(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.now -= size


class FusedAttention(TorchFunctionMode):
    """Gives attention the result of a kernel that holds no matrix, and counts its operations."""

    operations = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value = args[:3]
        batch, heads, length, width = query.shape
        self.operations += 2 * batch * heads * length * key.shape[-2] * (width + value.shape[-1])
        # As the kernels have it in memory.
        return query.new_empty(batch, length, heads, value.shape[-1]).transpose(1, 2)


def networks(channels: int, unet_dtype: torch.dtype, motion_dtype: torch.dtype) -> tuple[nn.Module, MotionModule]:
    """Return a UNet and its motion module without values."""
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    from ...host.operations import operations
    from ...motion.module import MotionConfig, MotionModule

    config = UNET_CONFIG | {"model_channels": channels}
    with torch.device("meta"):
        unet = UNetModel(**config, num_heads=8, num_head_channels=-1, dtype=unet_dtype, device="meta",
                         operations=comfy.ops.manual_cast)
        motion = MotionModule(MotionConfig(tuple(channels * factor for factor in UNET_CONFIG["channel_mult"])),
                              dtype=motion_dtype, ops=operations)
    return unet.requires_grad_(False), motion.requires_grad_(False)


def need(frames: int, pixels: int, channels: int, dtype: torch.dtype, unet_dtype: torch.dtype | None = None) -> Need:
    """Return what a call on one clip needs.

    Args:
        dtype: What is computed in, and what the motion module's weights are held in.
        unet_dtype: What the UNet's weights are held in, where that is another.
    """
    from ...host.motion import run_options

    unet, motion = networks(channels, unet_dtype or dtype, dtype)
    weights = [held for part in (unet, motion) for held in (*part.parameters(), *part.buffers())]
    options = run_options(motion, unet, frames)
    x = torch.empty(frames, 4, pixels // 8, pixels // 8, dtype=dtype, device="meta")
    text = torch.empty(frames, 77, UNET_CONFIG["context_dim"], dtype=dtype, device="meta")
    timesteps = torch.empty(frames, device="meta")
    live = LiveTensors(weights, (x, text, timesteps))
    with torch.no_grad(), FusedAttention() as attention, FlopCounterMode(display=False) as counter, live:
        unet(x, timesteps, text, transformer_options=options)
    return Need(sum(held.nbytes for held in weights), live.peak, counter.get_total_flops() + attention.operations)


def windows_of(frames: int) -> int:
    """Return how many windows Long Video samples in a step."""
    return 1 + ceil(max(0, frames - WINDOW) / (WINDOW - OVERLAP))


def print_table() -> None:
    """Print a row for each number of frames, precision, and way to sample."""
    table = Table(f"{PIXELS} x {PIXELS} pixels, cfg 1", "frames", "Long Video", "weights of the UNet", "weights, GiB",
                  "other tensors, GiB", "together, GiB", f"operations of {STEPS} steps, 10^12")
    for name, unet_dtype in (("fp16", torch.float16), ("fp8", torch.float8_e4m3fn)):
        for frames in FRAMES:
            for windows in (0, windows_of(frames)) if frames > WINDOW else (0,):
                found = need(WINDOW if windows else frames, PIXELS, CHANNELS, torch.float16, unet_dtype)
                table.add(frames, f"{windows} windows" if windows else "", name, found.weights / GIB,
                          found.activations / GIB, (found.weights + found.activations) / GIB,
                          STEPS * max(1, windows) * found.operations / TERA)


def print_check(channels: int, pixels: int, frames: int) -> None:
    """Print the count beside what a step on this machine's CPU holds at its peak, in float32."""
    counted = need(frames, pixels, channels, torch.float32)
    model = with_motion(build_model(channels))
    step(model, 1.0, pixels, frames)
    measured = tensor_peak(lambda: step(model, 1.0, pixels, frames))
    print(f"{frames} frames of {pixels} x {pixels} pixels, {channels} channels, float32: counted "
          f"{counted.activations / 2**20:.1f} MiB, measured {measured / 2**20:.1f} MiB, ratio "
          f"{counted.activations / measured:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="count and measure a step on the CPU")
    parser.add_argument("--channels", type=int, default=32, help="of the check's UNet")
    parser.add_argument("--pixels", type=int, default=512, help="height and width of the check's frames")
    parser.add_argument("--frames", type=int, default=4, help="of the check's clip")
    chosen = parser.parse_args()
    if chosen.check:
        print_check(chosen.channels, chosen.pixels, chosen.frames)
    else:
        print_table()


if __name__ == "__main__":
    main()

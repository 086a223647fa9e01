"""Time torch's attention kernels at the shapes of the motion module's sites: many short sequences, one per place."""

from __future__ import annotations

import time
import warnings
from contextlib import nullcontext
from statistics import median

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from .bench import UNET_CONFIG, wait
from .rows import Table

HEADS = 8
KERNELS = {"torch's choice": None, "math": SDPBackend.MATH, "flash": SDPBackend.FLASH_ATTENTION,
           "memory-efficient": SDPBackend.EFFICIENT_ATTENTION, "cuDNN": SDPBackend.CUDNN_ATTENTION}
CALLS = 20
"""Calls that are timed together: one is shorter than the clock's noise."""


def add_kernel_rows(channels: int, frames: tuple[int, ...], pixels: int, dtype: torch.dtype, runs: int) -> None:
    """Print a row for the sites of each UNet level, with the milliseconds of each kernel, for one clip."""
    import comfy.model_management

    from ...motion.module import rows_at_once

    device = comfy.model_management.get_torch_device()
    table = Table("Attention, ms", "frames", "rows", "channels of a head", *KERNELS)
    for length in frames:
        for level, factor in enumerate(UNET_CONFIG["channel_mult"]):
            width, places = channels * factor, max(1, pixels // 8 >> level) ** 2
            rows = min(places, rows_at_once(length, width, dtype.itemsize, device.type))
            # As a site has them: views of one projection.
            qkv = torch.randn(rows, length, 3 * width, generator=torch.Generator().manual_seed(0)).to(device, dtype)
            parts = qkv.view(rows, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
            cells = (milliseconds(kernel, parts, runs) for kernel in KERNELS.values())
            table.add(length, rows, width // HEADS, *("not available" if cell is None else cell for cell in cells))


def milliseconds(kernel: SDPBackend | None, parts: torch.Tensor, runs: int) -> float | None:
    """Return the median time of one attention by a kernel, or None where torch has none for these tensors."""
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            # torch says at length why each kernel was not taken.
            warnings.simplefilter("ignore")
            with nullcontext() if kernel is None else sdpa_kernel(kernel):
                F.scaled_dot_product_attention(*parts)
                return median(_seconds(parts) for _ in range(runs)) / CALLS * 1000
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if "No available kernel" not in str(error) and "No viable backend" not in str(error):
            raise
        return None


def _seconds(parts: torch.Tensor) -> float:
    wait()
    start = time.perf_counter()
    for _ in range(CALLS):
        F.scaled_dot_product_attention(*parts)
    wait()
    return time.perf_counter() - start

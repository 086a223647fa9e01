"""What the tensors of a motion file have to be."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Size, Tensor

from .errors import AGAIN, MotionFileError, short, some
from .formats import EXPECTED

FLOATS = {getattr(torch, name) for name in (
    "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")}
"""Types that weights are stored in. Others are floating-point too, but have no value between powers of two."""

MOST_FRAMES = 1024
"""Frames of the longest position tables that are made; every attention has one, 150 KB a frame in all."""

WIDEST = 8192
"""Channels of the widest level; Stable Diffusion 1.5 has 1280."""


def check_shapes(tensors: Mapping[str, Tensor], shapes: Mapping[str, Size], what: str) -> None:
    """Check that the tensors are those of the shapes, each of a floating-point type.

    Args:
        what: What the file is if they are, for the message, which goes on from the name of the file.

    Raises:
        MotionFileError: They are not.
    """
    if missing := [key for key in shapes if key not in tensors]:
        raise MotionFileError(f"is an incomplete {what}: {len(missing)} of {len(shapes)} tensors are missing, "
                              f"such as {some(missing)}. {AGAIN}")
    if unknown := [key for key in tensors if key not in shapes]:
        raise MotionFileError(f"is a {what} of an unknown kind: there is no place for {len(unknown)} of its tensors, "
                              f"such as {some(unknown)}. Expected {EXPECTED}.")
    for key, shape in shapes.items():
        tensor = tensors[key]
        if tensor.shape != shape or tensor.dtype not in FLOATS:
            raise MotionFileError(f"is a {what} with a wrong tensor: {key} has the shape {tuple(tensor.shape)} "
                                  f"({tensor.dtype}), expected {tuple(shape)} of a floating-point type. {AGAIN}")


def check_finite(tensors: Mapping[str, Tensor], what: str = "motion module") -> None:
    """Check that no value is infinite or not a number; the extremes show both, cannot overflow, and take one pass.

    Raises:
        MotionFileError: One is, or becomes infinite in single precision, which nothing here computes beyond.
    """
    for key, tensor in tensors.items():
        # a CPU does not compare 8-bit floats
        values = tensor.float() if tensor.itemsize == 1 else tensor
        if values.numel() and not torch.stack(values.aminmax()).float().isfinite().all():
            raise MotionFileError(f"is a damaged {what}: {short(key)} holds NaN or infinite values. {AGAIN}")

"""The position tables of a motion file: read, compared with the sinusoid, and put under its keys again."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .checks import FLOATS, MOST_FRAMES, WIDEST
from .errors import AGAIN, MotionFileError, short
from .formats import ANIMATEDIFF
from .module import MotionConfig, sinusoid

SAME_POSITION = 4e-3
"""Tables closer than this to the sinusoid are the sinusoid: half precision, bfloat16 included, rounds less."""


def read_table(key: str, tensor: Tensor) -> Tensor:
    """Return a position table (frames, c), which files store with an axis of length one before these."""
    if (tensor.ndim != 3 or len(tensor) != 1 or not tensor.numel() or tensor.dtype not in FLOATS
            or tensor.shape[1] > MOST_FRAMES or tensor.shape[2] > WIDEST):
        raise MotionFileError(f"is a motion module with a wrong position table: {short(key)} has the shape "
                              f"{tuple(tensor.shape)} ({tensor.dtype}), expected (1, frames, channels) with at most "
                              f"{MOST_FRAMES} frames. {AGAIN}")
    return tensor[0]


def unusual_tables(tables: Mapping[str, Tensor], config: MotionConfig) -> dict[int, Tensor] | None:
    """Return the tables, by width, of the widths where they are not the sinusoid."""
    unusual = {}
    for channels in {table.shape[1] for table in tables.values()}:
        same_width = {key: table.float() for key, table in tables.items() if table.shape[1] == channels}
        first, one = next(iter(same_width.items()))
        if channels not in config.channels:
            raise MotionFileError(f"is a motion module with a wrong position table: {short(first)} is for {channels} "
                                  f"channels, expected one of {config.channels}. {AGAIN}")
        if all((table - sinusoid(*table.shape)).abs().max() <= SAME_POSITION for table in same_width.values()):
            continue
        if other := next((key for key, table in same_width.items() if not torch.equal(table, one)), None):
            raise MotionFileError(f"has different position tables at sites of {channels} channels, {short(first)} "
                                  f"and {short(other)}. Expected one table for all sites of a width.")
        if len(one) < config.max_frames:
            raise MotionFileError(f"has a position table of {len(one)} frames, {short(first)}, but its metadata "
                                  f"promise {config.max_frames}. {AGAIN}")
        unusual[channels] = tables[first][:config.max_frames]
    return unusual or None


def tables_of_sites(
    weights: Mapping[str, Tensor], tables: Mapping[int, Tensor], config: MotionConfig
) -> dict[str, Tensor]:
    """Return the position tables under AnimateDiff's keys, one for each attention of their widths."""
    for channels, table in tables.items():
        if channels not in config.channels or table.shape != (config.max_frames, channels):
            raise MotionFileError(f"has a position table of the shape {tuple(table.shape)} for {channels} channels, "
                                  f"expected {config.max_frames} frames by one of {config.channels}.")
    attentions = {ANIMATEDIFF.file_keys(key)[0].removesuffix(".to_out.0.weight"): len(weight)
                  for key, weight in weights.items() if key.endswith(".to_out.weight")}
    return {f"{key}.pos_encoder.pe": tables[c][None].clone() for key, c in attentions.items() if c in tables}

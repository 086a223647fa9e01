"""Write motion modules into the host's output folder."""

from __future__ import annotations

from pathlib import Path

import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..motion.files import write_motion_file
from .motion import LoadedMotion
from .patchers import positions_of, weights_of


def save_motion(motion: LoadedMotion, filename_prefix: str) -> Path:
    """Write a motion module as a file that Load Motion Module reads, in the precision it has; return its path.

    Raises:
        Exception: The prefix leads out of the host's output folder, which the host refuses.
    """
    folder, name, counter, _, _ = folder_paths.get_save_image_path(filename_prefix, folder_paths.get_output_directory())
    path = Path(folder) / f"{name}_{counter:05}_.safetensors"
    write_motion(motion, path)
    return path


def write_motion(motion: LoadedMotion, path: Path, dtype: torch.dtype | None = None) -> None:
    """Write a motion module, with its image encoder if it has one, in the precision it has or in another.

    Raises:
        ValueError: Its weights are not the same at all frames.
    """
    motion.check_fixed()
    dtype = dtype or next(motion.patcher.model.parameters()).dtype
    weights = _weights(motion.patcher, dtype)
    encoder = _weights(motion.encoder, dtype) if motion.encoder else None
    write_motion_file(path, weights, motion.family, motion.schedule, motion.config, encoder,
                      positions_of(motion.patcher.model), motion.trained)


def _weights(patcher: ModelPatcher, dtype: torch.dtype) -> dict[str, Tensor]:
    return {key: weight.to(dtype) for key, weight in weights_of(patcher).items()}

"""What training has saved, as nodes list and load it."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from torch import Tensor

from .folders import MOTION_MODELS
from .weights import read_lora

LORAS = "loras"
SAVED_MODULES = "motion_modules"
"""Folder in the host's output folder into which Save Motion Module writes by default."""


def register_trained() -> None:
    """Make the host list saved motion modules as it lists saved LoRAs: where they were written."""
    folder_paths.add_model_folder_path(
        MOTION_MODELS, str(Path(folder_paths.get_output_directory()) / SAVED_MODULES))


def lora_files() -> list[str]:
    """Return the names of all LoRAs of image models, those in the output folder's `loras` included."""
    return folder_paths.get_filename_list(LORAS)


def load_lora(name: str) -> dict[str, Tensor]:
    """Return the tensors of a LoRA file by its listed name.

    Raises:
        FileNotFoundError: There is no such file.
        WeightsError: It is no LoRA of an image model, or damaged.
    """
    return read_lora(Path(folder_paths.get_full_path_or_raise(LORAS, name)), name)

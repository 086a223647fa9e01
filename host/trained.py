"""What training has saved, as nodes list and load it."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from torch import Tensor

from ..motion.containers import check_file, read_metadata
from ..motion.lora_families import about_lora
from .folders import MOTION_MODELS, listed_path
from .weights import read_lora

LORAS = "loras"
SAVED = {MOTION_MODELS: "motion_modules", "controlnet": "controlnet"}
"""Folders in the host's output folder into which Save Motion Module and Save ControlNet write by default."""


def register_trained() -> None:
    """Make the host list what was saved as it lists saved LoRAs: where it was written."""
    for kind, folder in SAVED.items():
        folder_paths.add_model_folder_path(kind, str(Path(folder_paths.get_output_directory()) / folder))


def lora_files() -> list[str]:
    """Return the names of all LoRAs of image models, those in the output folder's `loras` included."""
    return folder_paths.get_filename_list(LORAS)


def load_lora(name: str) -> dict[str, Tensor]:
    """Return the tensors of a LoRA file by its listed name.

    Raises:
        FileNotFoundError: There is no such file.
        WeightsError: It is no LoRA of an image model, or damaged.
    """
    return read_lora(Path(listed_path(LORAS, name)), name)


def lora_path(name: str) -> Path:
    """Return the path of a LoRA by its listed name, or of a folder of LoRAs.

    Raises:
        FileNotFoundError: There is none.
    """
    if path := folder_paths.get_full_path(LORAS, name):
        return Path(path)
    for root in map(Path, folder_paths.get_folder_paths(LORAS)):
        folder = root / name
        if folder.is_dir() and folder.resolve().is_relative_to(root.resolve()):
            return folder
    raise FileNotFoundError(f"there is no LoRA and no folder of LoRAs {name!r} in models/loras; give the name as Load "
                            "LoRA lists it")


def lora_message(name: str) -> str:
    """Return what a file of the image model's LoRA says of its sampling, for its node to show."""
    path = Path(listed_path(LORAS, name))
    return about_lora(path.name, read_metadata(path)[1] if check_file(path) else {})

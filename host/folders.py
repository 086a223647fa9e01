"""Where motion files lie: the folders that users of AnimateDiff packs already have, and the pack's own defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import folder_paths

from ..demo.files import MODELS, OWN_MOTION, WEIGHTS

MOTION_MODELS, MOTION_LORAS = "animatediff_models", "animatediff_motion_lora"
"""The host's folder ids; other packs use the same."""
EMBEDDED = "demo (embedded)"
"""How the demo model's motion module is listed."""


def register_folders() -> None:
    """Make the host know both folders, under its models folder, for the suffixes of weights alone.

    What goes with the demo model is listed among the user's own files, which are taken first where names are equal.
    """
    for name in (MOTION_MODELS, MOTION_LORAS):
        folder_paths.add_model_folder_path(name, str(Path(folder_paths.models_dir) / name))
        folders, suffixes = folder_paths.folder_names_and_paths[name]
        # A new id starts without suffixes and would list every file; one from extra_model_paths.yaml does too.
        folder_paths.folder_names_and_paths[name] = (folders, set(suffixes) | set(folder_paths.supported_pt_extensions))
    # A file manager may have left files of its own beside the folders.
    for folder in filter(Path.is_dir, MODELS.glob("*")):
        folder_paths.add_model_folder_path(folder.name, str(folder))


def motion_files() -> list[str]:
    """Return the names of all motion files: the user's first, which makes one of them the default; the demo's last."""
    return [*_own_first(MOTION_MODELS), EMBEDDED]


def motion_path(name: str) -> str:
    """Return the path of a motion file by its listed name.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if name == EMBEDDED:
        return str(WEIGHTS / OWN_MOTION)
    return listed_path(MOTION_MODELS, name)


def motion_lora_files() -> list[str]:
    """Return the names of all motion LoRAs: the user's first, the demo's last."""
    return _own_first(MOTION_LORAS)


def motion_lora_path(name: str) -> str:
    """Return the path of a motion LoRA by its listed name.

    Raises:
        FileNotFoundError: There is no such file.
    """
    return listed_path(MOTION_LORAS, name)


def listed_name(folder: str, path: str | Path) -> str:
    """Return how a file is listed, with its subfolder; the file's own name where it lies elsewhere."""
    path = Path(path)
    for root in folder_paths.folder_names_and_paths.get(folder, ([],))[0]:
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.name


def _own_first(folder: str) -> list[str]:
    """Return the names of a folder's files, the user's own before those that come with the demo model."""
    return sorted(folder_paths.get_filename_list(folder),
                  key=lambda name: Path(folder_paths.get_full_path(folder, name) or "").is_relative_to(MODELS))


def listed_path(folder: str, name: str) -> str:
    """Return the path of a file by its listed name.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if path := folder_paths.get_full_path(folder, name):
        return path
    # A link that leads nowhere is listed, but has no path; the reader of the file says what it is.
    listed = name in folder_paths.get_filename_list(folder)
    links = [path for root in folder_paths.get_folder_paths(folder) if (path := Path(root) / name).is_symlink()]
    if not (listed and links):
        raise FileNotFoundError(f"there is no file {name!r} in models/{folder}, nor in the other folders of "
                                f"{folder}. Put it back, or press R in the editor and choose another file")
    return str(links[0])


def file_state(path_of: Callable[[str], str | Path], name: str) -> str:
    """Return a text that changes when the file of a name is replaced or goes; reading it is left to who loads it.

    Args:
        path_of: Finds the file.
    """
    try:
        status = Path(path_of(name)).stat()
    except OSError as error:
        return type(error).__name__
    return f"{status.st_size} bytes of {status.st_mtime_ns}"

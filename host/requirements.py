"""What the pack asks of the ComfyUI that loads it, checked before anything of it is used."""

from __future__ import annotations

import sys
from collections.abc import Mapping

OLDEST_VERSION = "0.24.1"
"""The oldest ComfyUI on which the tests pass; pyproject.toml says the same to the registry.

0.18.2 and older ask handlers of layers only for layers that they do not know: a motion module would silently not run.
"""


def check_version(found: str) -> None:
    """Refuse an older ComfyUI than OLDEST_VERSION.

    Raises:
        ImportError: It is older.
    """
    if _numbers(found) < _numbers(OLDEST_VERSION):
        raise ImportError(f"AnimateLCM needs ComfyUI {OLDEST_VERSION} or newer, this is {found}. Update ComfyUI.")


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version's leading numbers: (0, 30, 0) of "0.30.0-dev"."""
    return tuple(int(part) for part in version.split("-")[0].split("+")[0].split(".") if part.isdigit())


def check_only_install(node_id: str, registered: Mapping[str, type], folder: str) -> None:
    """Refuse to register nodes that another copy of this pack has registered already.

    Args:
        node_id: One of the nodes, which every version of the pack has.
        registered: The host's node classes by id.
        folder: Where this copy lies.

    Raises:
        ImportError: There is another copy, which stays in use.
    """
    if node_id in registered:
        other = getattr(sys.modules.get(registered[node_id].__module__), "__file__", "another folder")
        raise ImportError(f"AnimateLCM is installed twice: {node_id} of {other} is in use, and the copy in {folder} is "
                          "left out. Remove one of the two folders from custom_nodes and restart ComfyUI.")

"""The command line of a training in stages, and where the stages find what the earlier ones made."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ALL = "all"


@dataclass(frozen=True)
class Workspace:
    """What one training works on."""

    checkpoints: Path
    """Folder of the checkpoints, one for each stage."""
    weights: Path
    """Folder of the demo model itself."""
    models: Path
    """Folder of the files that go with it, in folders that are named like the host's."""
    seed: int = 0

    def model_file(self, name: str) -> Path:
        """Return the path of one of the files that go with the model, in a folder that is there."""
        path = self.models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def arguments(description: str, steps: Mapping[str, int], folder: Path) -> tuple[dict[str, int], Workspace]:
    """Read the command line; return how many steps each chosen stage runs, in their order, and where.

    Args:
        steps: Of each stage, by its name.
        folder: Where everything goes by default.
    """
    parser = argparse.ArgumentParser(description=description)
    # argparse checks a default against the choices, which a list of them is not one of.
    parser.add_argument("stages", nargs="*", default=ALL, choices=[*steps, ALL])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=folder, help="where checkpoints go, and all else by default")
    parser.add_argument("--weights", type=Path, help="where the demo model is, or is made")
    parser.add_argument("--models", type=Path, help="where the files go that are used with it")
    for name, count in steps.items():
        parser.add_argument(f"--{name}-steps", type=int, default=count)
    chosen = parser.parse_args()
    stages = {name: getattr(chosen, f"{name}_steps") for name in steps
              if ALL in (chosen.stages, *chosen.stages) or name in chosen.stages}
    return stages, Workspace(chosen.folder, chosen.weights or chosen.folder / "weights",
                         chosen.models or chosen.folder / "models", chosen.seed)

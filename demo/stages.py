"""The command line of a training in stages."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

ALL = "all"


def arguments(description: str, steps: Mapping[str, int], folder: Path, **more: dict) -> argparse.Namespace:
    """Read the command line; `stages` are the names chosen, in their order, and `<stage>_steps` how long each runs.

    Args:
        steps: Of each stage, by its name.
        folder: Where checkpoints go by default; it is made.
        more: Further options by their names, with what argparse takes for each.
    """
    parser = argparse.ArgumentParser(description=description)
    # argparse checks a default against the choices, which a list of them is not one of.
    parser.add_argument("stages", nargs="*", default=ALL, choices=[*steps, ALL])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=folder, help="where checkpoints go")
    for name, option in more.items():
        parser.add_argument(f"--{name}", **option)
    for name, count in steps.items():
        parser.add_argument(f"--{name}-steps", type=int, default=count)
    chosen = parser.parse_args()
    chosen.stages = [name for name in steps if ALL in (chosen.stages, *chosen.stages) or name in chosen.stages]
    chosen.folder.mkdir(parents=True, exist_ok=True)
    return chosen

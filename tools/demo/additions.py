"""What is trained on a finished network with the plain objective: how its steps run, and what it is made from."""

from __future__ import annotations

from collections.abc import Callable

from safetensors.torch import save_file
from torch import Tensor, nn

from ...storage.atomic import replacing
from ...training import ema
from ...training.fingerprint import of_code, of_files
from ...training.origin import Origin
from ...training.trainer import Stage
from .denoising import recipe, run_loop
from .stages import Workspace

SCENES = "demo"
"""The room that says what the world is."""


def origin(workspace: Workspace, *needed: str) -> Origin:
    """Return what a training is made from: its seed, the world, the codec, and files of the demo model."""
    names = ("codec.safetensors", *needed)
    files = {name.removesuffix(".safetensors"): of_files([workspace.weights / name]) for name in names}
    return Origin({"seed": workspace.seed}).and_contents(code_of_demo=of_code(SCENES), **files)


def train_addition(name: str, parameters: dict[str, nn.Parameter], loss: Callable[[int], Tensor], steps: int,
                   rate: float, made_from: Origin, workspace: Workspace) -> dict[str, Tensor]:
    """Train some parameters, from their checkpoint if there is one; return the averaged weights."""
    stage = Stage(name, parameters, loss, parameters, ema.copies(parameters), origin=made_from)
    run_loop(name, stage, recipe(steps, rate, 0.99), workspace.folder)
    return stage.average


def write_half(workspace: Workspace, name: str, weights: dict[str, Tensor]) -> None:
    """Store what goes with the model, in half precision."""
    halved = {key: value.half().contiguous().cpu() for key, value in weights.items()}
    with replacing(workspace.model_file(name)) as unfinished:
        save_file(halved, unfinished)

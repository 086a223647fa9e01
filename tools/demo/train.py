"""Train everything that is embedded from nothing: the demo model, and the files that go with it.

    python dev.py train-demo                            killed and started again, it goes on where it was
    python dev.py train-demo image motion --minutes 6   in given minutes, as on a GPU

With the plain denoising objective, the codec, the image model and the motion module, and what the examples put beside
them: "pastel", a LoRA with another palette, "sway", a motion LoRA, and "layout", a ControlNet. Then that model is
distilled into one that needs four steps: "lora", "t2v" and "i2v" are the paper's three stages, and "adapted" is the
ControlNet tuned to the result.

Nothing that is embedded changes: all goes to the folder, whose `weights` and `models` can take the place of those here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from ...training import checkpoints
from . import codec_training, distil, image_training, layout, motion_training, styles
from .sessions import ENDLESS, Plan, Sitting
from .stages import Workspace, arguments

Train = Callable[[Plan, int, Sitting, torch.device], int]


def train_codec(workspace: Workspace, steps: int) -> None:
    if not (workspace.weights / "codec.safetensors").exists():
        codec_training.train_autoencoder(steps, workspace.folder, workspace.seed, workspace.device)


def train_image(workspace: Workspace, steps: int) -> None:
    go_on_and_finish("image", image_training.train, image_training.pace_for(workspace.device), workspace.images, steps,
                     workspace)


def train_motion(workspace: Workspace, steps: int) -> None:
    go_on_and_finish("motion", motion_training.train, motion_training.pace_for(workspace.device), workspace.clips,
                     steps, workspace)


def go_on_and_finish(name: str, train: Train, pace: tuple[int, float], entries: int, steps: int, workspace: Workspace
                     ) -> None:
    """Train a long stage for its steps, or from where it was for its minutes; a third of them finish it."""
    folder, device = workspace.folder, workspace.device
    checkpoint, finished = folder / f"{name}.pt", folder / f"{name}-finish.pt"
    before = checkpoints.load(checkpoint, torch.device("cpu"), mmap=True)["step"] if checkpoint.exists() else 0
    if workspace.minutes is None:
        plan, sitting = Plan(folder, workspace.seed, *pace, steps=max(1, steps - steps // 3)), Sitting()
        done, finish = train(plan, entries, sitting, device), max(1, steps // 3)
    else:
        plan, sitting = Plan(folder, workspace.seed, *pace, steps=ENDLESS), Sitting(workspace.minutes * 2 / 3)
        done = train(plan, entries, sitting, device)
        finish = max(1, (done - before) // 2)
    if done > before:
        # The checkpoint of another finish began with other weights.
        finished.unlink(missing_ok=True)
    train(Plan(folder, workspace.seed, *pace, finish=finish), entries, Sitting(), device)


STAGES: dict[str, tuple[Callable[[Workspace, int], None], int]] = {
    "codec": (train_codec, 16_000), "image": (train_image, 7_200), "motion": (train_motion, 6_600),
    "pastel": (styles.train_pastel, 400), "sway": (styles.train_sway, 300), "layout": (layout.train_layout, 1_000),
    **{name: (partial(distil.train_stage, name), recipe.steps) for name, recipe in distil.RECIPES.items()},
}
"""What trains each stage, and for how many steps; each needs those before it."""


def main() -> None:
    steps = {name: count for name, (_, count) in STAGES.items()}
    chosen, workspace = arguments(__doc__, steps, Path("output") / "train-demo")
    for number, (name, count) in enumerate(chosen.items(), 1):
        print(f"Stage {number} of {len(chosen)}: {name}", flush=True)
        begun = time.monotonic()
        try:
            STAGES[name][0](workspace, count)
        except FileNotFoundError as error:
            raise SystemExit(f"stage {name} needs what an earlier stage makes: {error}. Run that one first") from error
        print(f"{name}: took {(time.monotonic() - begun) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()

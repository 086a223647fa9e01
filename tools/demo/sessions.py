"""One sitting of a long training: it says how far it is, shows what it makes, and ends when its time is over.

A training goes on at a constant rate over as many sittings as it gets; each begins with the checkpoint that the last
one left. Then it is finished: from the last weights the rate falls to zero, which is worth many steps (Hu et al. 2024).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ...training import checkpoints, ema, loop
from ...training.config import LoopConfig
from ...training.origin import Origin
from ...training.trainer import Stage
from .muon import muon

ENDLESS = 1_000_000
"""Steps of a training that only its sittings end."""


@dataclass(frozen=True)
class Sitting:
    """How long a sitting takes, and how often it says something."""

    minutes: float = float("inf")
    """After which it ends, if its steps do not end before."""
    line_every: float = 60.0
    """Seconds between lines."""
    look_every: float = 1800.0
    """Seconds between looks at what the training makes."""


@dataclass(frozen=True)
class Plan:
    """What one sitting does of a training."""

    folder: Path
    """Where its checkpoints are."""
    seed: int
    batch: int
    learning_rate: float
    finish: int | None = None
    """Steps over which the rate falls to zero; None goes on at a constant rate."""
    steps: int = ENDLESS
    """Steps at a constant rate."""

    def name(self, stage: str) -> str:
        return stage if self.finish is None else f"{stage}-finish"

    def config(self) -> LoopConfig:
        constant = LoopConfig(self.steps, self.learning_rate, warmup=min(200, self.steps // 2), betas=(0.9, 0.99),
                              weight_decay=1e-3, precision="bfloat16", ema=0.999, ema_warmup=True)
        if self.finish is None:
            return constant
        return replace(constant, steps=self.finish, rate="cosine", warmup=0, ema=0.99)


def stage_of(name: str, network: nn.Module, loss: Callable[[int], Tensor], contents: dict[str, str], plan: Plan
             ) -> Stage:
    """Return what is trained: all of `network`, which takes the last weights where they are to be finished.

    Args:
        contents: Fingerprints of what it is made from.

    Raises:
        CheckpointError: There is nothing to finish.
    """
    parameters = dict(network.named_parameters())
    origin = Origin({"seed": plan.seed, "batch": plan.batch, "optimiser": "muon"}, contents)
    if plan.finish is not None:
        before = plan.folder / f"{name}.pt"
        state = checkpoints.load(before, torch.device("cpu"))
        checkpoints.fill(before, "network", parameters, state["network"])
        origin = origin.and_settings({"begins after": state["step"]})
    return Stage(plan.name(name), parameters, loss, parameters, ema.copies(parameters), origin=origin,
                 optimiser=lambda config: muon(network, config))


def run(stage: Stage, config: LoopConfig, checkpoint: Path, sitting: Sitting, look: Callable[[int], None],
        tell: Callable[[str], None] = print) -> int:
    """Train from the checkpoint if there is one; return the steps that are finished.

    Args:
        look: Called with the steps finished, a while after the start, then every half hour, and at the end.
    """
    begun = spoken = time.monotonic()
    looked = begun - 0.8 * sitting.look_every
    first = step = None
    smooth = None
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with closing(loop.train(stage, config, checkpoint)) as reports:
        for report in reports:
            step, first = report.step, report.step - 1 if first is None else first
            smooth = report.loss if smooth is None else 0.99 * smooth + 0.01 * report.loss
            now = time.monotonic()
            if now - spoken >= sitting.line_every:
                pace = (now - begun) / (step - first)
                left = min(pace * (config.steps - step), 60 * sitting.minutes - (now - begun))
                tell(f"{time.strftime('%H:%M')} {stage.name} step {step}/{config.steps} loss {smooth:.4f} "
                     f"gradient {report.gradient_norm:.2f} {pace:.3f} s a step, {left / 60:.0f} min to go")
                spoken = now
            if now - looked >= sitting.look_every:
                look(step)
                looked = time.monotonic()
            if now - begun >= 60 * sitting.minutes:
                break
    if step is None:
        tell(f"{stage.name}: {loop.nothing_left(config)}")
        return config.steps
    look(step)
    return step

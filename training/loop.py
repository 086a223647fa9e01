"""The training loop: a generator that yields a report for every step. It knows no maths.

Batches are numbered, and a loss draws everything from its batch's number: a run that was resumed gives the same bits as
one that never stopped.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..storage.atomic import remove_unfinished
from ..storage.locks import held
from . import checkpoints
from .config import LoopConfig
from .decisions import Average, Together
from .trainer import Report, Stage, Trainer, Watch


class DivergenceError(FloatingPointError):
    """The loss, the gradient or a weight is no number any more, or the loss grows without end."""


def train(
    stage: Stage,
    config: LoopConfig,
    checkpoint: Path | None = None,
    synchronise: Average | Together | None = None,
    writes: bool = True,
) -> Generator[Report, None, None]:
    """Run the stage to its end, from its checkpoint if there is one, and yield a report for each step.

    An interrupt writes a checkpoint of the last whole step, whether it closes the generator between two steps or is
    raised within one, as the host's layers do; an error leaves the last checkpoint as it was.

    Args:
        checkpoint: File to resume from and to write; None keeps nothing.
        synchronise: What takes means over the processes that train together: of gradients, and of what they decide.
            They all report the mean of their losses, and whatever stops one of them stops all.
        writes: Whether this process writes the checkpoint.

    Raises:
        DivergenceError: Loss, gradient or weights are not finite, or the loss grows without end; the last checkpoint is
            left as it was.
        CheckpointError: The checkpoint belongs to another run.
        HeldError: Another process is at a run of this checkpoint.
        WriteError: A checkpoint could not be written; the last one is as it was.
        StoppedElsewhere: Another process stopped.
    """
    together = synchronise if isinstance(synchronise, Together) else Together(synchronise, _device(stage))
    try:
        with _alone(checkpoint if writes else None):
            yield from _steps(stage, config, checkpoint, together, writes)
            together.decide()
    except BaseException as reason:
        together.leave(reason)
        raise


@contextmanager
def _alone(checkpoint: Path | None) -> Generator[None, None, None]:
    """Keep other runs from a checkpoint, and clear what a killed one left beside it."""
    if checkpoint is None:
        yield
        return
    with held(checkpoint):
        remove_unfinished(checkpoint)
        yield


def nothing_left(config: LoopConfig) -> str:
    """Say that a run gave no report, since its checkpoint has all steps."""
    more = "set more steps, or " if config.rate == "constant" else ""
    return (f"all {config.steps} steps are done already; nothing was trained, and the result is that of the "
            f"checkpoint. To train, {more}choose another name")


def _steps(stage: Stage, config: LoopConfig, checkpoint: Path | None, together: Together, writes: bool
           ) -> Generator[Report, None, None]:
    trainer = Trainer(stage, config, together)
    first = saved = trainer.resume(checkpoint) if checkpoint is not None and checkpoint.exists() else 0
    _check_same_start(first, together)
    watch = Watch(config.divergence)
    try:
        for step in range(first, config.steps):
            report = trainer.step(step)
            if problem := trainer.problem(report, watch):
                raise DivergenceError(f"{stage.name}: {problem} at step {report.step}, and training stops; "
                                      f"{_last(checkpoint)}. {trainer.advice(step)}")
            if trainer.is_time_to_save():
                saved = trainer.save(checkpoint, report.step, writes)
            yield report
    except BaseException as reason:
        interrupted = not isinstance(reason, Exception)
        if interrupted and trainer.finished > saved and not trainer.changing and trainer.is_sound():
            trainer.save(checkpoint, trainer.finished, writes)
        raise


def _device(stage: Stage) -> torch.device:
    return next(iter(stage.parameters.values())).device


def _check_same_start(first: int, together: Together) -> None:
    """Refuse processes that do not see the same checkpoint: they would train on different steps."""
    if together.decide(first) != first:
        raise checkpoints.CheckpointError(
            f"this process begins after {first} steps, and others elsewhere. The folder of the checkpoint has to be "
            "one that all processes see")


def _last(checkpoint: Path | None) -> str:
    if checkpoint is None or not checkpoint.exists():
        return "there is no checkpoint yet"
    return f"the last good checkpoint is {checkpoint}"

"""One training run on several processes: each takes its share of a step's batches."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from .trainer import Stage


def batch_number(number: int, accumulation: int, rank: int, processes: int) -> int:
    """Return which batch of the whole run is a process's batch `number`.

    A step has `accumulation` batches in each process. They are numbered as if one process took them all, one after the
    other, so that n processes give the result of a single one that accumulates n times as many batches.
    """
    step, batch = divmod(number, accumulation)
    return (step * processes + rank) * accumulation + batch


def shared(stage: Stage, accumulation: int, rank: int, processes: int) -> Stage:
    """Return the stage with the losses of one process's batches."""
    return replace(stage, processes=processes,
                   loss=lambda number: stage.loss(batch_number(number, accumulation, rank, processes)))


@contextmanager
def interrupts_noted(wanted: bool = True) -> Generator[list[int], None, None]:
    """Collect Ctrl-C and SIGTERM in a list instead of raising them in the middle of a step, for which another process
    may wait.

    Only for the main thread of a program of our own.
    """
    noted: list[int] = []
    if not wanted:
        yield noted
        return
    before = {number: signal.signal(number, lambda number, frame: noted.append(number))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

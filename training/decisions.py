"""Decisions that all processes of a run make together, so that none of them waits for one that has stopped.

Whatever makes a process stop, it says so in the exchange to which the others come next, and they stop as well. So every
exchange carries the same three numbers: a value, whose mean all of them get, and whether anyone failed or was
interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
Average = Callable[[Iterable[Tensor]], None]
"""Puts the mean over all processes in place of each tensor; every process calls it as often, with as many tensors."""


class StoppedElsewhere(ConnectionError):  # noqa: N818 - the error is another process's
    """Another process of the run has stopped; its own message says why."""


class Together:
    """What one process knows of the others; alone, it decides at once."""

    def __init__(self, average: Average | None = None, device: torch.device | None = None) -> None:
        self.average, self.device = average, device
        self.ended = False
        """Whether the others know that this process stops, or cannot be reached."""

    def synchronise(self, tensors: Iterable[Tensor]) -> None:
        """Put the mean over all processes in place of each tensor."""
        if self.average is None:
            return
        try:
            self.average(tensors)
        except BaseException:
            # Nobody knows who has come how far.
            self.ended = True
            raise

    def decide(self, value: float = 0.0) -> float:
        """Return the mean of all processes' values.

        Raises:
            StoppedElsewhere: Another process failed.
            KeyboardInterrupt: Another process was interrupted.
        """
        mean, failed, interrupted = self._exchange(value)
        if failed or interrupted:
            self.ended = True
        if failed:
            raise StoppedElsewhere("another process of this run has stopped, and so does this one; see its message")
        if interrupted:
            raise KeyboardInterrupt
        return mean

    def leave(self, reason: BaseException) -> None:
        """Say to the others, once, that this process stops; they learn it when they decide next."""
        if not self.ended:
            self.ended = True
            failed = isinstance(reason, Exception)
            # Where the others cannot be reached any more, the reason is still what has to be raised.
            with suppress(Exception):
                self._exchange(0.0, failed, not failed)

    def all(self, action: Callable[[], Result]) -> Result:
        """Return what an action gives that every process runs; where it fails in one of them, all stop.

        Raises:
            BaseException: What the action raises.
            StoppedElsewhere: It failed in another process.
            KeyboardInterrupt: Another process was interrupted.
        """
        try:
            result = action()
        except BaseException as reason:
            self.leave(reason)
            raise
        self.decide()
        return result

    def _exchange(self, value: float, failed: bool = False, interrupted: bool = False) -> tuple[float, bool, bool]:
        """Return the mean of all values, and whether any process failed or was interrupted."""
        if self.average is None:
            return value, False, False
        said = torch.tensor([value, failed, interrupted], dtype=torch.float32, device=self.device)
        self.synchronise([said])
        mean, any_failed, any_interrupted = said.tolist()
        return mean, any_failed > 0, any_interrupted > 0

"""Which row is whose turn: shared by the threads of all servers, and of all workers of a cluster."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

from .jobs import Job


@dataclass(frozen=True)
class Turn:
    """A row that waits or runs.

    Attributes:
        tries: How often it has been tried in vain.
        after: Not before this moment of the monotonic clock.
        home: The server on which it is under way already, with its `prompt_id` there; None for one that is not.
    """

    job: Job
    tries: int = 0
    after: float = 0.0
    home: str | None = None
    prompt_id: str | None = None


class Board:
    """The rows that are to be done.

    Args:
        keep_going: Whether the others go on after a row has failed.
    """

    def __init__(self, keep_going: bool) -> None:
        self.failed: list[tuple[Job, str]] = []
        self.stopping = threading.Event()
        self.keep_going = keep_going
        self._waiting: list[Turn] = []
        self._running = 0
        self._away: set[str] = set()
        self._taken_over: dict[str, list[str]] = {}
        self._changed = threading.Condition()

    def add(self, turns: list[Turn]) -> None:
        """Add rows, before anybody takes one."""
        self._waiting += turns

    def take(self, server: str) -> Turn | None:
        """Return the next row for a server, waiting for one if need be; None when there will be no more."""
        with self._changed:
            while not self._over():
                now = time.monotonic()
                mine = [turn for turn in self._waiting if turn.home == server or
                        (turn.after <= now and (turn.home is None or turn.home in self._away))]
                if mine:
                    # What is under way here is looked up first.
                    turn = min(mine, key=lambda turn: turn.home != server)
                    self._waiting.remove(turn)
                    self._running += 1
                    if turn.home in (None, server):
                        return turn
                    self._taken_over.setdefault(str(turn.home), []).append(str(turn.prompt_id))
                    return replace(turn, home=None, prompt_id=None)
                self._changed.wait(0.2)
            self._changed.notify_all()
            return None

    def _over(self) -> bool:
        stops = self.stopping.is_set() or (self.failed and not self.keep_going)
        return bool(stops) or not (self._waiting or self._running)

    def done(self) -> None:
        """Say that a row that was taken is done."""
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def fail(self, turn: Turn, error: str) -> None:
        """Say that a row that was taken is given up."""
        with self._changed:
            self.failed.append((turn.job, error))
            self._running -= 1
            self._changed.notify_all()

    def again(self, turn: Turn, wait: float) -> None:
        """Put a row that was taken back, to be tried again after some seconds, or at once where it is under way."""
        with self._changed:
            self._waiting.insert(0, replace(turn, tries=turn.tries + 1, after=time.monotonic() + wait))
            self._running -= 1
            self._changed.notify_all()

    def leave(self, server: str) -> None:
        """Say that a server does not answer: others take the rows that were under way there."""
        with self._changed:
            self._away.add(server)
            self._changed.notify_all()

    def come_back(self, server: str) -> list[str]:
        """Say that a server answers, and return the prompts there that others have taken over in the meantime."""
        with self._changed:
            self._away.discard(server)
            self._changed.notify_all()
            return self._taken_over.pop(server, [])

    @property
    def left(self) -> int:
        """The rows that are neither done nor failed."""
        return len(self._waiting) + self._running

    @property
    def over(self) -> bool:
        """Whether no more rows are handed out."""
        with self._changed:
            return self._over()

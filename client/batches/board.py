"""Which row is whose turn: shared by the threads of all servers, and of all workers of a cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from .jobs import Job


@dataclass(frozen=True)
class Turn:
    """A row that waits or runs.

    Attributes:
        tries: How often it has been tried in vain.
        after: Not before this moment of the monotonic clock.
        home: The server on which it is under way already, with its `prompt_id` there; None for one that is not.
        refusals: The servers that refuse it, with what they say.
    """

    job: Job
    tries: int = 0
    after: float = 0.0
    home: str | None = None
    prompt_id: str | None = None
    refusals: Mapping[str, str] = field(default_factory=dict)

    def refused_by_all(self, servers: Iterable[str]) -> bool:
        """Say whether none of these servers takes it."""
        return all(server in self.refusals for server in servers)


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
        self._servers: set[str] = set()
        self._away: set[str] = set()
        self._taken_over: dict[str, list[str]] = {}
        self._changed = threading.Condition()

    def add(self, turns: list[Turn]) -> None:
        """Add rows, before anybody takes one."""
        self._waiting += turns

    def join(self, server: str) -> None:
        """Say that a server will take rows."""
        self._servers.add(server)

    def resign(self, server: str) -> list[Turn]:
        """Say that a server takes no more rows; return those that all others refuse, as if they had been taken."""
        with self._changed:
            self._servers.discard(server)
            if self._over():
                return []
            given_up = [turn for turn in self._waiting if turn.refusals and turn.refused_by_all(self._servers)]
            for turn in given_up:
                self._waiting.remove(turn)
            self._running += len(given_up)
            return given_up

    def take(self, server: str) -> Turn | None:
        """Return the next row for a server, waiting for one if need be; None when there will be no more."""
        with self._changed:
            while not self._over():
                now = time.monotonic()
                mine = [turn for turn in self._waiting if server not in turn.refusals and (
                        turn.home == server or turn.after <= now and (turn.home is None or turn.home in self._away))]
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

    def refuse(self, turn: Turn, server: str, error: str) -> bool:
        """Leave a row that a server refuses to the others, which may have the model that it lacks; say whether any is
        left that has not refused it. If none is, the row still counts as taken.
        """
        with self._changed:
            turn = replace(turn, home=None, prompt_id=None, refusals={**turn.refusals, server: error})
            if turn.refused_by_all(self._servers):
                return False
            self._waiting.append(turn)
            self._running -= 1
            self._changed.notify_all()
            return True

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

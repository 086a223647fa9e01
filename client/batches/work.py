"""The work on a batch: a thread for each place takes rows, saves their files and writes down what became of them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..http import RunError
from ..outcomes import RefusedError, StoppedError
from .board import Board, Turn
from .display import Display
from .jobs import Job
from .manifest import DONE, FAILED, QUEUED, STOPPED, UNDER_WAY, Manifest
from .places import Place
from .results import save


class CancelledError(Exception):
    """The batch is being ended: what runs is dropped."""


@dataclass(frozen=True)
class Limits:
    """When to give up.

    Attributes:
        tries: How often a row is tried, in vain, before it has failed; a server that goes away under it counts.
        waits: Seconds before a row's further tries; the last holds for all that follow.
        away: Seconds after which a server that does not answer is given up.
        looks: Seconds between two looks at a server that is away.
    """

    tries: int = 3
    waits: tuple[float, ...] = (1.0, 10.0, 30.0)
    away: float = 600.0
    looks: float = 5.0


def turns_of(jobs: Sequence[Job], manifest: Manifest, places: Sequence[Place]) -> list[Turn]:
    """Return the turns of rows that are not done, those first that are under way at one of the places."""
    turns, names = [], {place.name for place in places}
    for job in jobs:
        last = manifest.last.get(job.key, {})
        if last.get("state") in UNDER_WAY and last.get("server") in names:
            turns.append(Turn(job, home=last.get("server"), prompt_id=last.get("prompt_id")))
        else:
            turns.append(Turn(job))
    return sorted(turns, key=lambda turn: turn.home is None)


@dataclass
class Worker:
    """What the thread of one place works with."""

    place: Place
    board: Board
    manifest: Manifest
    folder: Path
    limits: Limits
    display: Display

    def work(self) -> None:
        """Take rows until there are no more, or the place is given up."""
        try:
            self._take_rows()
        finally:
            for turn in self.board.resign(self.place.name):
                self._fail(turn, "; ".join(turn.refusals.values()))

    def _take_rows(self) -> None:
        if not self._wait_until_back():
            return
        while (turn := self.board.take(self.place.name)) is not None:
            prompt_id = turn.prompt_id or str(uuid.uuid4())
            try:
                self._run(turn, prompt_id)
            except CancelledError:
                self.board.done()
                self.manifest.write(turn.job, STOPPED)
                return
            except ConnectionError as error:
                # It may go on there: it is looked up if the place is back before another takes it over.
                self._again(replace(turn, home=self.place.name, prompt_id=prompt_id), str(error))
                if not self._wait_until_back():
                    return
            except RefusedError as error:
                if self.board.refuse(turn, self.place.name, str(error)):
                    self.display.say(f"row {turn.job.number} is left to the other servers: {error}")
                else:
                    self._fail(turn, str(error))
            except StoppedError as error:
                self._fail(turn, str(error))
            except RunError as error:
                self._again(replace(turn, home=None, prompt_id=None), str(error))
            except BaseException as error:
                # A full disk, or a fault of this program: the row is named, and the others are not lost with it.
                self._fail(turn, f"{type(error).__name__}: {error}")

    def _run(self, turn: Turn, prompt_id: str) -> None:
        job = turn.job
        self.display.begin(job, self.place.name)
        if turn.home is None:
            self.manifest.write(job, QUEUED, prompt_id=prompt_id, server=self.place.name)
        files = self.place.run(job, prompt_id, turn.home is not None, self.display.show)
        entries = save(job, files, self.folder, self.manifest)
        self.manifest.write(job, DONE, files=entries)
        self.board.done()
        self.display.finish([str(self.folder / entry["name"]) for entry in entries])

    def _again(self, turn: Turn, error: str) -> None:
        if turn.tries + 1 >= self.limits.tries:
            self._fail(turn, error)
            return
        self.display.say(f"row {turn.job.number} is tried again: {error}")
        waits = self.limits.waits
        self.board.again(turn, waits[min(turn.tries, len(waits) - 1)])

    def _fail(self, turn: Turn, error: str) -> None:
        # Said first: the others wait for it, and a disk that is full takes no line.
        self.board.fail(turn, error)
        with suppress(OSError):
            self.manifest.write(turn.job, FAILED, error=error)
        if self.board.keep_going:
            self.display.say(f"row {turn.job.number} ({turn.job.label}) failed: {error}")
        self.display.advance()

    def _wait_until_back(self) -> bool:
        """Wait for a place that is away, and drop there what others have taken over; say whether it came back."""
        since = time.monotonic()
        try:
            while not self.place.is_back():
                self.board.leave(self.place.name)
                if self.board.over:
                    return False
                if time.monotonic() - since > self.limits.away:
                    raise RunError(f"it does not answer for {self.limits.away:.0f} s")
                self.board.stopping.wait(self.limits.looks)
        except (RunError, CancelledError) as error:
            self.board.leave(self.place.name)
            self.display.say(f"{self.place.name} is left out: {error or 'the batch ends'}")
            return False
        for prompt_id in self.board.come_back(self.place.name):
            self.place.cancel(prompt_id)
        return True


def run_all(workers: Sequence[Worker], board: Board) -> None:
    """Let all places work until the rows are done, or nobody is left to do them.

    Raises:
        KeyboardInterrupt: Ctrl-C, or a signal that acts like it; what ran is off the servers then.
    """
    for worker in workers:
        board.join(worker.place.name)
    ends = [threading.Event() for _ in workers]

    def work(worker: Worker, end: threading.Event) -> None:
        try:
            worker.work()
        finally:
            end.set()

    # Not joined: a join that Ctrl-C interrupts takes the thread for ended before it is (Python 3.12 and older).
    threads = [threading.Thread(target=work, args=pair, daemon=True) for pair in zip(workers, ends, strict=True)]
    try:
        for thread in threads:
            thread.start()
        _wait_for(ends)
    except KeyboardInterrupt:
        board.stopping.set()
        _wait_for([end for end, thread in zip(ends, threads, strict=True) if thread.ident is not None])
        raise


def _wait_for(ends: list[threading.Event]) -> None:
    for end in ends:
        # In short steps: some systems hear no Ctrl-C during a wait.
        while not end.wait(0.2):
            pass

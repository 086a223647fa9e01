"""What a batch shows: each row as it begins, the files as they come, and how much time is left."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .jobs import Job

MINUTE = 60


class Display:
    """Shows the state of a batch; safe to be called from several threads, and without a terminal that is gone.

    Args:
        total: All rows.
        done: Those that were done before.
        several: Whether there are several servers, so that each row says where it runs.
    """

    def __init__(self, total: int, done: int, several: bool) -> None:
        self._total, self._several = total, several
        self._begun = time.monotonic()
        self._left, self._finished = total - done, 0
        self._lock = threading.Lock()
        self._bar: Any = None
        if sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, unit="row", dynamic_ncols=True)

    def begin(self, job: Job, server: str) -> None:
        """Say that a row begins."""
        where = f" on {server}" if self._several else ""
        left = "" if self._bar is not None else self._time_left()
        self._print(f"{job.number}/{self._total} {job.label}{where}{left}")

    def show(self, text: str) -> None:
        """Show what a row is doing, behind the bar."""
        if self._bar is not None:
            with self._shown():
                self._bar.set_postfix_str(text)

    def finish(self, files: list[str]) -> None:
        """Say that a row is done, and where its files are."""
        for file in files:
            self._print(file)
        self.advance()

    def say(self, text: str) -> None:
        """Say something that is no result, on the error stream."""
        self._print(text, sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is, and the terminal on a fresh line."""
        if self._bar is not None:
            with self._shown():
                self._bar.close()

    def advance(self) -> None:
        """Count a row as done or failed."""
        with self._shown():
            self._finished += 1
            if self._bar is not None:
                self._bar.update()

    @contextmanager
    def _shown(self) -> Iterator[None]:
        """Let one thread at a time write. What cannot be shown ends no batch: a terminal may be closed at night."""
        with self._lock, suppress(OSError):
            yield

    def _time_left(self) -> str:
        """Return the time left, by what the rows took so far, where it is a minute or more."""
        if not self._finished:
            return ""
        seconds = (time.monotonic() - self._begun) / self._finished * (self._left - self._finished)
        hours, minutes = divmod(round(seconds / MINUTE), MINUTE)
        return f", {f'{hours} h ' if hours else ''}{minutes} min left" if seconds >= MINUTE else ""

    def _print(self, text: str, stream: Any = None) -> None:
        with self._shown():
            if self._bar is not None:
                self._bar.write(text, file=stream or sys.stdout)
            else:
                print(text, file=stream or sys.stdout, flush=True)

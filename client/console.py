"""One line on the terminal that says what is going on."""

from __future__ import annotations

import io
import sys
import time

from .api import Progress

QUIET_SECONDS = 5.0


def print_everything() -> None:
    """Let letters that the output has no place for be printed as their numbers, where they would end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class StatusLine:
    """A line that is rewritten in place; where the output is no terminal, a new line every few seconds.

    Used as a context manager, it leaves the terminal on a fresh line.
    """

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._shown_at = float("-inf")
        self._width = 0

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, *error: object) -> None:
        if self._width:
            print(flush=True)
            self._width = 0

    def show(self, text: str) -> None:
        """Show a text in place of the one before."""
        now = time.monotonic()
        if self._terminal:
            print("\r" + text.ljust(self._width), end="", flush=True)
            self._width = len(text)
        elif now - self._shown_at >= QUIET_SECONDS:
            print(text, flush=True)
            self._shown_at = now

    def progress(self, progress: Progress) -> None:
        """Show what a run is doing."""
        steps = f" {progress.step}/{progress.steps}" if progress.steps else ""
        self.show(f"{progress.node_type}{steps}")

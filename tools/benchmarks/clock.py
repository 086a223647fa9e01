"""Lines of a long run on the terminal."""

from __future__ import annotations

import time


class Clock:
    """Prints lines with the seconds since it was made, so that one sees a long run live."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def report(self, text: str) -> None:
        print(f"{self.seconds():6.0f} s  {text}", flush=True)

"""What has become of every row, written down line by line, so that the same command again goes on."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..problems import WorkflowError
from .jobs import Job

QUEUED, SAVING, DONE, FAILED, STOPPED = "queued", "saving", "done", "failed", "stopped"
UNDER_WAY = (QUEUED, SAVING)
BEGINNING = b'{"row": "'
"""How each line begins."""


class Manifest:
    """A file of JSON lines, one for every change, and the last line of each row.

    A line is written with one call and is on the disk before anything follows from it. What a killed process left of
    one is passed over.

    Raises:
        WorkflowError: It is a file of another kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._whole = True
        if path.exists():
            with path.open("rb") as lines:
                self._read(lines)

    def _read(self, lines: Iterable[bytes]) -> None:
        for number, line in enumerate(lines, 1):
            self._whole = line.endswith(b"\n")
            try:
                entry = json.loads(line) if line.strip() else None
            except ValueError:
                entry = False
            if isinstance(entry, dict) and isinstance(entry.get("row"), str) and isinstance(entry.get("state"), str):
                self.last[entry["row"]] = self.last.get(entry["row"], {}) | entry
            elif entry is not None and number == 1 and not _is_torn(line):
                raise WorkflowError(f"{self.path} is no manifest of a batch: its first line is {line!r:.100}")

    def write(self, job: Job, state: str, **facts: Any) -> None:
        """Append what has become of a row.

        Args:
            facts: `prompt_id`, `server`, `files` or `error`, as far as they are known.
        """
        entry = {"row": job.key, "number": job.number, "label": job.label, "seed": job.seed, "state": state, **facts,
                 "time": datetime.now(timezone.utc).isoformat(timespec="seconds")}
        with self._lock:
            line = ("" if self._whole else "\n") + json.dumps(entry, ensure_ascii=False) + "\n"
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            try:
                self._whole = False
                # JSON may hold half a character.
                content = line.encode(errors="surrogatepass")
                if os.write(file, content) != len(content):
                    raise OSError(f"{self.path} is not written: the disk is full")
                os.fsync(file)
                self._whole = True
            finally:
                os.close(file)
            self.last[job.key] = self.last.get(job.key, {}) | entry

    def state(self, job: Job) -> str | None:
        """Return the last state of a row, None for a new one."""
        return self.last.get(job.key, {}).get("state")


def _is_torn(line: bytes) -> bool:
    """Say whether a line may be the beginning of one of ours."""
    return line.startswith(BEGINNING) or BEGINNING.startswith(line)

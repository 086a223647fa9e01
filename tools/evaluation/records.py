"""What was measured, one line of JSON for each clip, so that a run that was cut short goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ...storage.atomic import write_text
from ...storage.locks import held


def continued(record: Path, count: int, measure: Callable[[int], dict]) -> list[dict]:
    """Return the first `count` lines of a record, those that it lacks measured and written to it.

    Args:
        record: A file, which need not be there; a line that a kill cut short is measured again.
        measure: From a line's number to what it says.

    Raises:
        HeldError: Another process measures for the same record: the place of a line is the number of its clip.
    """
    with held(record):
        lines = _complete_lines(record)
        with record.open("a", encoding="utf-8") as file:
            for number in range(len(lines), count):
                lines.append(json.dumps(measure(number)))
                file.write(lines[-1] + "\n")
                file.flush()
    return [json.loads(line) for line in lines[:count]]


def _complete_lines(record: Path) -> list[str]:
    if not record.is_file():
        return []
    text = record.read_text(encoding="utf-8")
    complete = text[:text.rfind("\n") + 1]
    if complete != text:
        write_text(record, complete)
    return complete.splitlines()

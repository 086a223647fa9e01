"""Files that are written whole or not at all, and never over another run's."""

from __future__ import annotations

import itertools
import os
import re
import uuid
from contextlib import suppress
from pathlib import Path

ODD_CHARACTERS = re.compile(r'[\x00-\x1f<>:"/\\|?*]')
"""What a file name may not hold on every system."""
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names that Windows keeps for itself."""


def safe_name(name: str) -> str:
    """Return the last part of a path that came from elsewhere, as a file name that every system takes."""
    last = re.split(r"[/\\]", name)[-1]
    name = ODD_CHARACTERS.sub("_", last).strip(". ") or "result"
    return f"_{name}" if DEVICES.match(name) else name


def write_whole(target: Path, content: bytes) -> Path:
    """Write a file in the place of the one of that name, if any; on failure that one stays as it was."""
    part = _write_part(target, content)
    try:
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return target


def write_new(target: Path, content: bytes) -> Path:
    """Write a file under this name, or under the same with a number where it is taken, and return its path.

    Runs that write into one folder at the same time never take the same name.
    """
    part = _write_part(target, content)
    try:
        claimed = _claim(target)
        try:
            os.replace(part, claimed)
        except BaseException:
            claimed.unlink(missing_ok=True)
            raise
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return claimed


def _write_part(target: Path, content: bytes) -> Path:
    """Write the content under a name that is nobody else's, beside the target."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    return part


def _claim(target: Path) -> Path:
    """Make an empty file of the first free name: only one of several runs can make it."""
    numbered = (target.with_name(f"{target.stem}-{number}{target.suffix}") for number in itertools.count(2))
    for candidate in itertools.chain([target], numbered):
        try:
            candidate.open("xb").close()
        except FileExistsError:
            continue
        return candidate
    raise AssertionError("the numbers never end")

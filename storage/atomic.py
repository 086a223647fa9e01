"""Files that appear whole or not at all: the one way in which everything here is written."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OS_ERROR = re.compile(r"([^:]+) \(os error \d+\)")
"""How libraries in Rust, such as safetensors, pass on what the system said."""


class WriteError(OSError):
    """A file could not be written; the one that was there before is as it was."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a file to write, which takes the place of `path` when all went well.

    Its name is no other process's. Whatever goes wrong, and wherever the process is killed, `path` is the old file or
    the new one.

    Raises:
        WriteError: The system could not write it, such as where the disk is full.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        _flush(unfinished)
        os.replace(unfinished, path)
    except Exception as error:
        if (reason := _system_error(error)) is None:
            raise
        raise WriteError(f"{path} is not written: {reason}. What was there before is as it was. See that the disk has "
                         "space and that its folder can be written to, and start again") from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes left of `path`; only for the one process that may write it."""
    left = re.compile(rf"\.{re.escape(path.name)}\.\d+\.[0-9a-f]{{8}}\.tmp")
    for file in path.parent.glob(".*.tmp"):
        if left.fullmatch(file.name):
            file.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Wait until a file is on the disk: one that is renamed before may be empty after a power cut."""
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _system_error(error: BaseException | None) -> str | None:
    """Return what the system said, which torch and safetensors hide behind errors of their own, or None."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        if found := OS_ERROR.search(str(error)):
            return found[1].strip()
        error = error.__cause__ or error.__context__
    return None

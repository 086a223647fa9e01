"""A lock between processes, which the operating system takes back from one that dies."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

FAR = 1 << 30
"""The byte that is locked; Windows lets nobody else read locked ones, and the holder's number is to be read."""


@contextmanager
def locked(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock of a file; where another process has it, say so and wait.

    Raises:
        OSError: The file cannot be made or locked.
    """
    with path.open("a+b") as file:
        waiting = False
        while not _try(file):
            if not waiting:
                print(f"Waiting: process {_holder(file)} holds {path} while it {purpose}", flush=True)
                waiting = True
            time.sleep(0.2)
        try:
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode())
            file.flush()
            yield
        finally:
            _release(file)


def _holder(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(20).decode(errors="replace").strip() or "?"


def _try(file: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            file.seek(FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


def _release(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        file.seek(FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_UN)

"""One process at a time: a lock beside a file, which says who holds it.

The operating system holds it, and lets go when the process ends, however it ends: what a killed one leaves is taken
over.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

BEYOND = 1 << 20
"""Byte that is locked on Windows: past the text, which others could not read otherwise."""
HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
"""What the system says where another process holds the lock."""


class HeldError(OSError):
    """Another process holds the lock."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of a file, `<file>.lock` beside it, which is gone afterwards.

    Raises:
        HeldError: Another run holds it; the message says which one.
    """
    lock = path.with_name(f"{path.name}.lock")
    file = _taken(path, lock)
    try:
        os.truncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}, since "
                       f"{datetime.now():%Y-%m-%d %H:%M:%S}".encode())
        yield
    finally:
        _remove(lock, file)


def _taken(path: Path, lock: Path) -> int:
    """Return the open lock file; one that its holder has removed in the meantime is no lock any more."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT)
        try:
            _lock(file)
            if _is(lock, file):
                return file
        except OSError as error:
            os.close(file)
            if error.errno not in HELD:
                raise
            raise HeldError(f"{path.name} is in use by another run: {_holder(lock)}. Wait until it has ended, or "
                            "choose another name") from error
        os.close(file)


def _is(lock: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.fstat(file), lock.stat())
    except FileNotFoundError:
        return False


def _lock(file: int) -> None:
    if sys.platform == "win32":
        os.lseek(file, BEYOND, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)
    else:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Some network file systems have no locks. Files are written whole there as well.
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
                raise


def _holder(lock: Path) -> str:
    try:
        return lock.read_text(encoding="utf-8") or "it has just begun"
    except OSError:
        return "nothing says which"


def _remove(lock: Path, file: int) -> None:
    """Remove the lock while it is held, where the system allows that, so that no newcomer's is removed."""
    if sys.platform == "win32":
        os.close(file)
        # A newcomer may have it open already.
        with suppress(PermissionError):
            lock.unlink(missing_ok=True)
        return
    lock.unlink(missing_ok=True)
    os.close(file)

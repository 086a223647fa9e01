"""Child processes that end with the program that started them, servers above all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO

STOP_SECONDS = 10.0
"""How long a process may take to end when it is asked to."""
COMMAND_STOP_SECONDS = 3 * STOP_SECONDS
"""The same for a command, which may have a server to stop first."""


def start(command: list[str], log: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Start a server in a process group of its own, so that Ctrl-C reaches only this program, which then stops it."""
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP
    variables = dict(os.environ, PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8")
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log and subprocess.STDOUT,
                            env=variables, creationflags=flags, start_new_session=not flags)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server, politely first, and wait for it."""
    if process.poll() is None:
        process.terminate()
        _wait_or_kill(process, STOP_SECONDS)


def stop_command(process: subprocess.Popen[bytes]) -> None:
    """Do the same with a command of ours, which stops its servers when it is asked to end."""
    if process.poll() is None:
        # Windows ends a process without asking it; there the Ctrl-C that brought us here has reached it already.
        if sys.platform != "win32":
            process.terminate()
        _wait_or_kill(process, COMMAND_STOP_SECONDS)


def _wait_or_kill(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ending(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


def stop_on_signals(ending: Callable[[int], BaseException] = _ending) -> None:
    """Turn the first request to end this program into an exception, so that its servers are stopped on the way out.

    Later requests change nothing: they would cut the stopping short.

    Args:
        ending: Makes the exception of the signal's number; by default SystemExit, and KeyboardInterrupt for Ctrl-C.
    """
    known = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    # A signal that is ignored, such as under nohup, stays ignored.
    numbers = [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]

    def leave(number: int, frame: object) -> None:
        for heard in numbers:
            # Not SIG_IGN, which processes that are started from now on would inherit.
            signal.signal(heard, lambda number, frame: None)
        raise ending(number)

    for number in numbers:
        signal.signal(number, leave)

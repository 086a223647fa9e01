"""Run a command that ends when whoever started it does, however that ends: python tied.py COMMAND ...

Started with a pipe as its standard input, which the system closes at the end of the process that holds the other side.
The one that watches the pipe is no child of that process, and not in its group: some systems for clusters kill these
first, and would leave what they have started.
"""

from __future__ import annotations

import subprocess
import sys
import threading

STOP_SECONDS = 10.0
WATCH = "--watch"


def main() -> int:
    """Let another process watch, and return how the command ended."""
    if sys.argv[1] == WATCH:
        return watch(sys.argv[2:])
    return subprocess.call([sys.executable, __file__, WATCH, *sys.argv[1:]], start_new_session=True)


def watch(command: list[str]) -> int:
    """Run the command, and end it when the standard input ends."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def end_with_input() -> None:
        sys.stdin.buffer.read()
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()

    threading.Thread(target=end_with_input, daemon=True).start()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())

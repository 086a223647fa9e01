"""Run a command that ends when whoever started it does, however that ends: python tied.py COMMAND ...

Started with a pipe as its standard input, which the system closes at the end of the process that holds the other side.
"""

from __future__ import annotations

import subprocess
import sys
import threading

STOP_SECONDS = 10.0


def main() -> int:
    """Run the command, and end it when the standard input ends."""
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

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

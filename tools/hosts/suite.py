"""The tests on several hosts: all of them on the reference, and on the others those that the host decides about."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .processes import stop_command
from .server import Host

OTHER_HOSTS = ("0.27.0", "0.24.1")
BEHIND = ("tests/server", "tests/tools")
"""A good third of the suite, which runs on the second core before the other hosts do."""
CHOSEN = ("tests/server/test_run.py", "tests/server/test_examples.py", "tests/nodes", *(
    f"tests/host/test_{part}.py" for part in (
        "controls", "folders", "image_to_video", "injection", "parity", "preview", "requirements", "sampling",
        "two_models", "untouched", "windows")))
"""What other hosts than the reference are tested with: what they decide about, in the time that the suite takes."""


@dataclass(frozen=True)
class Outcome:
    """What one run of pytest came to."""

    status: int
    """Of the process."""
    counts: Counter[str]
    """Tests by "failed", "passed", "skipped" and "errors"."""


class Run:
    """A run of pytest with a host, in front of the user or behind, then on one thread and with its output in a file."""

    def __init__(self, host: Host, root: Path, words: Sequence[str], folder: Path, behind: bool) -> None:
        self.title = f"ComfyUI {host.version}, {' '.join(words)}"
        name = f"{host.version}-{'behind' if behind else 'front'}"
        self._report = folder / f"{name}.xml"
        self._log = folder / f"{name}.txt" if behind else None
        # Threads that wait for one another on a busy core take many times as long: each run keeps to cores of its own.
        threads = 1 if behind else max(1, (os.cpu_count() or 1) - 1)
        variables = dict(os.environ, COMFYUI_PATH=str(host.path), OMP_NUM_THREADS=str(threads))
        with open(self._log or os.devnull, "wb") as log:
            self._process = subprocess.Popen(
                [host.python, "-m", "pytest", f"--junitxml={self._report}", *words], cwd=root, env=variables,
                stdout=log if behind else None, stderr=subprocess.STDOUT if behind else None)

    def is_over(self) -> bool:
        """Say whether the process has ended."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """End it, politely first."""
        stop_command(self._process)

    def output(self) -> str:
        """Return what a run behind has printed."""
        return "" if self._log is None else self._log.read_text(encoding="utf-8", errors="replace")

    def outcome(self) -> Outcome:
        """Return what it came to, when it is over."""
        status = self._process.returncode
        # A process that a signal ended has the signal's number, negative.
        return Outcome(status if status >= 0 else 128 - status, count(self._report))


def count(report: Path) -> Counter[str]:
    """Return how many tests a report of pytest has of each kind; a missing one is an error."""
    if not report.is_file():
        return Counter(errors=1)
    found: Counter[str] = Counter()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        failed, errors, skipped = (int(suite.get(name, 0)) for name in ("failures", "errors", "skipped"))
        found.update(failed=failed, errors=errors, skipped=skipped,
                     passed=int(suite.get("tests", 0)) - failed - errors - skipped)
    return found


def run_on_all(hosts: Sequence[Host], root: Path) -> int:
    """Run the whole suite on the first host and what is chosen on the others; return the worst exit status.

    Most tests keep one core busy, and two are usual: a part of the suite and the other hosts run behind the rest, one
    at a time. Their output follows, and then one line for all in pytest's words.
    """
    started = time.monotonic()
    first, *others = hosts
    planned = [(first, BEHIND), *((host, CHOSEN) for host in others)]
    with tempfile.TemporaryDirectory() as folder:
        print(f"ComfyUI {first.version}, all tests, of which {' '.join(BEHIND)} run behind, where some follow on "
              f"{', '.join(host.version for host in others)}", flush=True)
        front = Run(first, root, [f"--ignore={part}" for part in BEHIND], Path(folder), behind=False)
        behind: list[Run] = []
        try:
            while not (front.is_over() and len(behind) == len(planned) and all(run.is_over() for run in behind)):
                if len(behind) < len(planned) and all(run.is_over() for run in behind):
                    host, words = planned[len(behind)]
                    behind.append(Run(host, root, words, Path(folder), behind=True))
                time.sleep(0.2)
        finally:
            for run in (front, *behind):
                run.stop()
        for run in behind:
            print(f"\n{run.title}\n{run.output().rstrip()}", flush=True)
        outcomes = [run.outcome() for run in (front, *behind)]
    print(closing_line(outcomes, len(hosts), time.monotonic() - started), flush=True)
    return max(outcome.status for outcome in outcomes)


def closing_line(outcomes: Sequence[Outcome], hosts: int, seconds: float) -> str:
    """Return a line like pytest's last one, for several runs together."""
    total: Counter[str] = sum((outcome.counts for outcome in outcomes), Counter())
    parts = [f"{total[kind]} {kind}" for kind in ("failed", "passed", "skipped", "errors") if total[kind]]
    parts = ["1 error" if part == "1 errors" else part for part in parts]
    return f"{' ' + ', '.join(parts or ['no tests ran'])} in {seconds:.2f}s on {hosts} hosts ".center(80, "=")

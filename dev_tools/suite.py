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

from .server import Host, stop

OTHER_HOSTS = ("0.27.0", "0.24.1")
CHOSEN = ("tests/host/test_injection.py",)
"""What other hosts than the reference are tested with."""


@dataclass(frozen=True)
class Outcome:
    """What one run of pytest came to."""

    status: int
    """Of the process."""
    counts: Counter[str]
    """Tests by "failed", "passed", "skipped" and "errors"."""


def run_tests(host: Host, root: Path, words: Sequence[str]) -> Outcome:
    """Run pytest with a host, in front of the user."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        process = subprocess.Popen([host.python, "-m", "pytest", f"--junitxml={report}", *words], cwd=root,
                                   env=dict(os.environ, COMFYUI_PATH=str(host.path)))
        try:
            status = process.wait()
        finally:
            # Politely: it may have a server to stop.
            stop(process)
        # A process that a signal ended has the signal's number, negative.
        return Outcome(status if status >= 0 else 128 - status, count(report))


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

    The last line is one for all of them, in pytest's words.
    """
    started = time.monotonic()
    outcomes = []
    for host in hosts:
        words = () if host is hosts[0] else CHOSEN
        print(f"ComfyUI {host.version}: {' '.join(words) or 'all tests'}", flush=True)
        outcomes.append(run_tests(host, root, words))
    print(closing_line(outcomes, time.monotonic() - started), flush=True)
    return max(outcome.status for outcome in outcomes)


def closing_line(outcomes: Sequence[Outcome], seconds: float) -> str:
    """Return a line like pytest's last one, for several runs together."""
    total: Counter[str] = sum((outcome.counts for outcome in outcomes), Counter())
    parts = [f"{total[kind]} {kind}" for kind in ("failed", "passed", "skipped", "errors") if total[kind]]
    parts = ["1 error" if part == "1 errors" else part for part in parts]
    return f"{' ' + ', '.join(parts or ['no tests ran'])} in {seconds:.2f}s on {len(outcomes)} hosts ".center(80, "=")

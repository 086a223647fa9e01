"""The tests on several hosts, and the line that sums them up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from animatelcm.tools.hosts import suite
from animatelcm.tools.hosts.hosts import REFERENCE, RELEASES
from animatelcm.tools.hosts.server import Host

ROOT = Path(__file__).resolve().parents[3]
GOOD = "def test_one():\n    pass\n\ndef test_two():\n    pass\n"
MIXED = """
import os, pytest
def test_host():
    assert os.environ["COMFYUI_PATH"].endswith("second")
def test_bad():
    assert False
@pytest.mark.skip
def test_skipped():
    pass
@pytest.fixture
def broken():
    raise ValueError
def test_error(broken):
    pass
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tests of its own, of which other hosts get one file."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "test_good.py").write_text(GOOD, encoding="utf-8")
    (tmp_path / "own" / "test_behind.py").write_text("def test_behind():\n    pass\n", encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_mixed.py").write_text(MIXED, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\ntestpaths = own\naddopts = -p no:cacheprovider\n", encoding="utf-8")
    monkeypatch.setattr(suite, "BEHIND", ("own/test_behind.py",))
    monkeypatch.setattr(suite, "CHOSEN", ("tests",))
    return tmp_path


def host(name: str) -> Host:
    return Host(Path("/hosts") / name, Path(sys.executable), name)


def test_all_hosts_are_run_and_summed_up(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert suite.run_on_all([host("first"), host("second")], project) == 1
    lines = capfd.readouterr().out.splitlines()
    assert "2 passed" in next(line for line in lines if " in " in line and "=" in line)
    assert " 1 failed, 4 passed, 1 skipped, 1 error in " in lines[-1]
    assert lines[-1].strip("=").endswith("s on 2 hosts ")
    assert [line for line in lines if line.startswith("ComfyUI")] == [
        "ComfyUI first, all tests, of which own/test_behind.py run behind, where some follow on second",
        "ComfyUI first, own/test_behind.py", "ComfyUI second, tests"]
    # Those of the second are shown whole, with pytest's own closing line.
    assert any("1 failed, 1 passed, 1 skipped, 1 error in" in line for line in lines[:-1])


COMMAND = """
import sys
root, *words = sys.argv[1:]
sys.path.insert(0, root)
sys.argv = ["dev.py", "test", *words]
import dev
def one(options, purpose, *command):
    print("one host:", options.host_version, *command)
    sys.exit(0)
dev.in_host = one
dev.prepare = lambda options, purpose: options.host_version
dev.suite.run_on_all = lambda hosts, root: print("hosts:", *hosts) or 3
dev.main()
"""


@pytest.mark.parametrize(("words", "printed", "status"), [
    ((), f"hosts: {REFERENCE} {' '.join(suite.OTHER_HOSTS)}", 3),
    (("tests/samplers", "-q"), "one host: None -m pytest tests/samplers -q", 0),
    (("--host-version", "0.24.1"), "one host: 0.24.1 -m pytest", 0),
])
def test_only_the_bare_command_runs_on_all_hosts(words: tuple[str, ...], printed: str, status: int) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "COMFYUI_PATH"}
    done = subprocess.run([sys.executable, "-c", COMMAND, str(ROOT), *words], env=variables, capture_output=True,
                          text=True)
    assert (done.stdout.strip(), done.returncode) == (printed, status), done.stderr


def test_hosts_without_a_failure(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert suite.run_on_all([host("first")], project) == 0
    assert " 3 passed in " in capfd.readouterr().out.splitlines()[-1]


def test_a_run_that_dies_counts_as_an_error(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "tests" / "test_mixed.py").write_text("import os\nos.kill(os.getpid(), 9)\n", encoding="utf-8")
    assert suite.run_on_all([host("first"), host("second")], project) == 137
    assert " 3 passed, 1 error in " in capfd.readouterr().out.splitlines()[-1]


def test_nothing_runs_on_when_it_is_stopped(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (project / "own" / "test_good.py", project / "tests" / "test_mixed.py"):
        path.write_text("import time\n\ndef test_long():\n    time.sleep(60)\n", encoding="utf-8")
    original, runs = suite.Run, []

    class Noted(original):
        def __init__(self, *arguments: object, **more: object) -> None:
            super().__init__(*arguments, **more)
            runs.append(self)

        def is_over(self) -> bool:
            if len(runs) == 3:
                raise SystemExit(143)
            return super().is_over()

    monkeypatch.setattr(suite, "Run", Noted)
    with pytest.raises(SystemExit):
        suite.run_on_all([host("first"), host("second")], project)
    assert all(original.is_over(run) for run in runs)


def test_the_chosen_tests_exist_on_pinned_hosts() -> None:
    assert all((ROOT / word.removeprefix("--ignore=")).exists() for word in (*suite.CHOSEN, *suite.BEHIND))
    assert REFERENCE not in suite.OTHER_HOSTS
    assert set(suite.OTHER_HOSTS) <= set(RELEASES)

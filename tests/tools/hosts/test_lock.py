"""One process at a time sets up the work folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from animatelcm.tools.hosts.lock import locked

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tools.hosts.lock import locked
with locked(Path(sys.argv[2]), "does something"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until it gets a line, and wait for what it says first."""
    return subprocess.Popen([sys.executable, "-c", HOLD, str(ROOT), str(path)], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)


def test_the_second_says_who_has_it_and_waits(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path) as first, hold(path) as second:
        said = {first: first.stdout.readline(), second: second.stdout.readline()}
        holder, waiting = sorted(said, key=lambda process: said[process] != "held\n")
        assert said[holder] == "held\n"
        assert said[waiting] == f"Waiting: process {holder.pid} holds {path} while it does something\n"
        holder.communicate("\n")
        assert waiting.stdout.readline() == "held\n"
        waiting.communicate("\n")
    assert (first.returncode, second.returncode) == (0, 0)


def test_a_killed_holder_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path) as process:
        assert process.stdout.readline() == "held\n"
        process.kill()
    with locked(path, "test"):
        pass


def test_the_holder_is_named_and_not_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("123456789\n")
    with hold(path) as first:
        assert first.stdout.readline() == "held\n"
        with hold(path) as second:
            said = second.stdout.readline()
            first.communicate("\n")
            second.communicate("\n")
    assert said == f"Waiting: process {first.pid} holds {path} while it does something\n"


def test_it_is_free_again_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(KeyError), locked(path, "test"):
        raise KeyError
    with hold(path) as process:
        assert process.stdout.readline() == "held\n"
        process.communicate("\n")


SET_UP = """
import argparse, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import dev
from tools.hosts import environment, hosts
# A venv that takes its time, and no downloads.
def make(venv):
    (venv / "half").mkdir(parents=True)
    time.sleep(0.3)
    (venv / "half").rmdir()
    venv.rmdir()
    return Path(sys.executable)
environment.make_venv = make
environment.install = lambda *arguments: None
hosts.obtain = lambda version, folder, python: folder / version
dev.prepare(argparse.Namespace(host=None, host_version=None, python=None))
"""


def test_two_set_ups_at_once_leave_each_other_alone(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "COMFYUI_PATH"}
    both = [subprocess.Popen([sys.executable, "-c", SET_UP, str(ROOT)], stderr=subprocess.PIPE, text=True,
                             env=variables | {"ANIMATELCM_WORK": str(tmp_path)}) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors

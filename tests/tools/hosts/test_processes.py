"""A command that is told to end takes the servers with it that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from animatelcm.tools.hosts.processes import start, stop

ROOT = Path(__file__).resolve().parents[3]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a program can catch")


def wait_for(path: Path, process: subprocess.Popen) -> None:
    until = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@POSIX
@pytest.mark.parametrize("sent", [[signal.SIGTERM] * 3, [signal.SIGINT, signal.SIGTERM]],
                         ids=["again and again", "after Ctrl-C"])
def test_tests_that_are_told_to_end_stop_their_server(tmp_path: Path, sent: list[int]) -> None:
    pid_file = tmp_path / "pid"
    process = subprocess.Popen([sys.executable, "dev.py", "test", "tests/tools/hosts/endless.py"], cwd=ROOT,
                               env=dict(os.environ, PID_FILE=str(pid_file)), start_new_session=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_for(pid_file, process)
        server = int(pid_file.read_text(encoding="utf-8"))
        for number in sent:
            # As a terminal's Ctrl-C reaches all of a group.
            (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        printed = process.communicate(timeout=60)[0]
        assert "KeyboardInterrupt" in printed
        # Ctrl-C is ignored by what a shell has put into the background, as this may be.
        assert process.returncode in (128 + sent[0], 128 + signal.SIGTERM)
        assert not is_alive(server)
    finally:
        process.kill()
        process.wait()
        if pid_file.exists() and is_alive(server):
            os.kill(server, signal.SIGKILL)


def test_server_that_ignores_the_request_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("animatelcm.tools.hosts.processes.STOP_SECONDS", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True); time.sleep(60)"
    with (tmp_path / "log").open("wb") as log:
        process = start([sys.executable, "-c", deaf], log)
    while not (tmp_path / "log").read_bytes():
        time.sleep(0.02)
    stop(process)
    assert process.returncode != 0


WRITES_ITS_NUMBER = """
import os, time
with open("{}.new", "w") as file:
    file.write(str(os.getpid()))
os.rename("{}.new", "{}")
time.sleep(600)
"""


@POSIX
@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_command_that_is_told_to_end_stops_its_server(tmp_path: Path, command: str) -> None:
    pid_file = tmp_path / "pid"
    host = tmp_path / "host"
    host.mkdir()
    (host / "main.py").write_text(WRITES_ITS_NUMBER.replace("{}", str(pid_file)), encoding="utf-8")
    (host / "comfyui_version.py").write_text('__version__ = "0.30.0"\n', encoding="utf-8")
    words = [command, "--host", str(host), "--work", str(tmp_path / "work")]
    process = subprocess.Popen([sys.executable, "dev.py", *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_for(pid_file, process)
    server = int(pid_file.read_text(encoding="utf-8"))
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not is_alive(server)


NOHUP = """
import os, signal, standalone
standalone.register()
from animatelcm.tools.hosts.processes import stop_on_signals
signal.signal(signal.SIGHUP, signal.SIG_IGN)
stop_on_signals()
os.kill(os.getpid(), signal.SIGHUP)
print("goes on", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
print("goes on")
"""


@POSIX
def test_what_is_not_to_end_with_its_terminal_does_not() -> None:
    """As under nohup, which ignores one signal; others still end it."""
    done = subprocess.run([sys.executable, "-c", NOHUP], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "goes on\n"), done.stderr

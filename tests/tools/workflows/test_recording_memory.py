"""The memory of a process is its highest, and the length of the video is all that is changed."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
from animatelcm.tools.workflows import recording_memory
from animatelcm.tools.workflows.recording_memory import NODE, example, of_length, peak_memory

LARGE = 300_000_000
on_linux = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux says it of another process")


@on_linux
def test_what_was_given_back_counts():
    script = f"x = bytearray({LARGE}); x[::4096] = bytes([1]) * len(x[::4096]); del x; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        peak = peak_memory(process.pid)
        process.communicate(b"\n")
    assert LARGE < peak < LARGE + 100_000_000


def test_only_the_length_changes():
    prompt = {"1": {"class_type": NODE, "inputs": {"num_frames": 64, "seed": 1}},
              "2": {"class_type": "EmptyLatentImage", "inputs": {"batch_size": 1}}}
    before = copy.deepcopy(prompt)
    made = of_length(prompt, 1000)
    assert made["1"]["inputs"] == {"num_frames": 1000, "seed": 1} and made["2"] == before["2"]
    assert prompt == before


def test_the_example_is_there():
    assert NODE in example().read_text(encoding="utf-8")


class Server:
    """Stands in for a server; this process is as good as another."""

    pid = os.getpid()

    def __init__(self, *args):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass


@pytest.mark.parametrize(("long", "status"), [(1_090, 0), (1_110, 1)])
def test_too_much_memory_is_an_error(monkeypatch, tmp_path, capsys, long, status):
    peaks = iter([1_000, long])
    monkeypatch.setenv("ANIMATELCM_WORK", str(tmp_path))
    monkeypatch.setattr(recording_memory, "Server", Server)
    monkeypatch.setattr(recording_memory, "record", lambda server, frames: 1.0)
    monkeypatch.setattr(recording_memory, "peak_memory", lambda process: next(peaks) * 1_000_000)
    monkeypatch.setattr(sys, "argv", ["x", "--frames", "400", "16"])
    with pytest.raises(SystemExit) as left:
        recording_memory.main()
    assert left.value.code == status
    assert f'"peak_mb": {{"16": 1000, "400": {long}}}' in capsys.readouterr().out

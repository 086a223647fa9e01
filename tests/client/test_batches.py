"""A night's batch: servers and the program itself end in the middle, and nothing is lost or done twice."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIED = ROOT / "client" / "batches" / "tied.py"
STUB = Path(__file__).with_name("stub_host.py")
ROWS = 200
WORKFLOW = {"1": {"class_type": "SaveVideo", "inputs": {"video": ["2", 0]}},
            "2": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["3", 0]}},
            "3": {"class_type": "Text", "inputs": {"text": "as saved"}}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


class Night:
    """A folder with a workflow and rows, the servers, and the program."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.output, self.log = folder, folder / "results", folder / "log.txt"
        self.processes: list[subprocess.Popen[str]] = []
        (folder / "workflow.json").write_text(json.dumps(WORKFLOW), encoding="utf-8")

    def rows(self, *rows: dict[str, Any]) -> None:
        with (self.folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    def host(self, port: int, seconds: float = 0.01) -> subprocess.Popen[str]:
        process = self._start([sys.executable, str(STUB), str(port), str(self.log), str(seconds)])
        wait_until(lambda: is_open(port))
        return process

    def batch(self, *arguments: str, ports: tuple[int, ...] = ()) -> subprocess.Popen[str]:
        servers = ["--server", *(f"http://127.0.0.1:{port}" for port in ports)] if ports else []
        return self._start([sys.executable, str(ROOT / "batch.py"), str(self.folder / "workflow.json"),
                            str(self.folder / "rows.csv"), *servers, "--output", str(self.output), *arguments])

    def _start(self, command: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def wait_for(self, count: int, seconds: float = 60) -> None:
        wait_until(lambda: len(self.ran()) >= count, seconds)

    def ran(self) -> list[list[str]]:
        """Return what has run to its end, [port, prompt id, seed] each."""
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def states(self) -> dict[str, dict[str, Any]]:
        """Return the last line of the manifest for each row."""
        found: dict[str, dict[str, Any]] = {}
        manifest = self.output / "batch.jsonl"
        for line in manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else ():
            entry = json.loads(line)
            found[entry["row"]] = found.get(entry["row"], {}) | entry
        return found

    def results(self) -> list[Path]:
        return sorted(self.output.glob("*.mp4"))


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    night = Night(tmp_path)
    yield night
    for process in night.processes:
        process.kill()
        process.communicate()


def ends(process: subprocess.Popen[str], code: int) -> str:
    """Wait for the end of a process, check its status and return what it printed."""
    out, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors
    return out + errors


def test_nothing_is_lost_and_nothing_twice(night: Night) -> None:
    """Of 200 rows on two servers, one of which is killed, and the program itself, in the middle of their work."""
    night.rows(*({"prompt": f"number {seed}", "seed": seed} for seed in range(ROWS)))
    one, other = ports = free_port(), free_port()
    hosts = [night.host(port) for port in ports]
    batch = night.batch("--keep-going", ports=ports)
    night.wait_for(ROWS // 4)
    batch.kill()
    batch.communicate()
    killed_at = len(night.ran())
    batch = night.batch("--keep-going", ports=ports)
    night.wait_for(ROWS // 2)
    hosts[0].kill()
    hosts[0].communicate()
    night.wait_for(3 * ROWS // 4)
    night.host(one)
    printed = ends(batch, 0)
    assert "rows are done already" in printed
    assert killed_at < ROWS // 2 + 2

    states = night.states().values()
    assert [entry["state"] for entry in states] == ["done"] * ROWS
    assert sorted(entry["seed"] for entry in states) == list(range(ROWS))
    # Every file is there once, under its row's name, and holds what that row made.
    assert len(night.results()) == ROWS
    for entry in states:
        [file] = entry["files"]
        content = (night.output / file["name"]).read_bytes()
        assert content == f"film of video_{entry['seed']}_.mp4".encode()
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        assert file["name"] == f"{entry['seed'] + 1:04}-number-{entry['seed']}-seed-{entry['seed']}.mp4"
    # What ran twice is at most the one row that the killed server had done and not yet handed out.
    counts = Counter(seed for _, _, seed in night.ran())
    assert len(counts) == ROWS
    assert sum(counts.values()) <= ROWS + 1
    # Both did their part, also after what happened.
    assert {port for port, _, _ in night.ran()} == {str(one), str(other)}

    assert f"{ROWS} of {ROWS} rows are done already" in ends(night.batch(ports=ports), 0)
    assert len(night.ran()) == sum(counts.values())


def test_a_row_under_way_is_looked_up_and_not_queued_again(night: Night) -> None:
    night.rows({"seed": 5})
    port = free_port()
    night.host(port, seconds=1.5)
    batch = night.batch(ports=(port,))
    wait_until(lambda: bool(night.states()))
    time.sleep(0.3)
    batch.kill()
    batch.communicate()
    ends(night.batch(ports=(port,)), 0)
    assert [seed for _, _, seed in night.ran()] == ["5"]
    assert len(night.results()) == 1


def test_a_row_under_way_on_a_server_that_is_gone_is_done_by_another(night: Night) -> None:
    night.rows({"seed": 5})
    one, other = ports = free_port(), free_port()
    host = night.host(one, seconds=30)
    batch = night.batch(ports=(one,))
    wait_until(lambda: bool(night.states()))
    batch.kill()
    batch.communicate()
    host.kill()
    night.host(other)
    ends(night.batch(ports=ports), 0)
    assert [seed for _, _, seed in night.ran()] == ["5"]


def test_bad_rows_are_all_named_before_the_first_is_queued(night: Night) -> None:
    night.rows({"seed": 1, "KSampler.steps": 4, "KSampler.sampler": "lcm"},
               {"seed": -1, "KSampler.steps": "", "KSampler.sampler": ""},
               {"seed": 2, "KSampler.steps": 2.5, "KSampler.sampler": ""},
               {"seed": 3, "KSampler.steps": "", "KSampler.sampler": "ddim"},
               {"seed": "x", "KSampler.steps": "", "KSampler.sampler": ""})
    workflow = {**WORKFLOW, "2": {"class_type": "KSampler", "inputs": {
        "seed": 1, "positive": ["3", 0], "steps": 4, "sampler": "lcm"}}}
    (night.folder / "workflow.json").write_text(json.dumps(workflow), encoding="utf-8")
    port = free_port()
    night.host(port)
    printed = ends(night.batch(ports=(port,)), 1)
    assert "rows.csv, line 3: seed of node 2 (KSampler) is -1, expected 0 to 1000" in printed
    assert "rows.csv, line 4: steps of node 2 (KSampler) is 2.5, expected a whole number" in printed
    assert "rows.csv, line 5: sampler of node 2 (KSampler) is 'ddim', expected one of lcm, euler" in printed
    assert "rows.csv, line 6: seed is 'x', expected a whole number" in printed
    assert not night.ran()


def test_a_second_run_of_the_same_batch_is_refused(night: Night) -> None:
    night.rows({"seed": 5})
    port = free_port()
    night.host(port, seconds=30)
    night.batch(ports=(port,))
    wait_until(lambda: bool(night.states()))
    assert "batch.jsonl is in use by another run" in ends(night.batch(ports=(port,)), 1)


def test_done_rows_are_done_again_where_that_is_asked_for(night: Night) -> None:
    night.rows({"seed": 5})
    port = free_port()
    night.host(port)
    for arguments, runs in (((), 1), ((), 1), (("--again",), 2)):
        ends(night.batch(*arguments, ports=(port,)), 0)
        assert len(night.ran()) == runs == len(night.results())


def test_a_changed_workflow_makes_new_rows(night: Night) -> None:
    night.rows({"seed": 5})
    port = free_port()
    night.host(port)
    ends(night.batch(ports=(port,)), 0)
    ends(night.batch("--set", "Text.text=another", ports=(port,)), 0)
    assert len(night.ran()) == 2


@pytest.mark.parametrize("keep_going", [False, True])
def test_failed_rows_are_listed_and_the_others_go_on_where_that_is_asked_for(night: Night, keep_going: bool) -> None:
    night.rows({"prompt": "fail", "seed": 1}, {"prompt": "a cat", "seed": 2}, {"prompt": "fail", "seed": 3})
    port = free_port()
    night.host(port)
    batch = night.batch("--retries", "1", *["--keep-going"] * keep_going, ports=(port,))
    printed = ends(batch, 1)
    assert ("2 of 3 rows failed" if keep_going else "1 of 3 rows failed") in printed
    # The first row that fails waits for another try, and the third may have its last one before.
    said = r"row ([13]) \(fail, seed \1\): KSampler \(node 2\) failed: OutOfMemory: too large"
    failed = re.findall(said, printed)
    assert sorted(failed) == ["1", "3"] if keep_going else len(failed) == 1
    assert ("1 of 3 rows are not done" in printed) != keep_going
    counts = Counter(seed for _, _, seed in night.ran())
    assert counts["2"] == 1 and all(counts[row] == 2 for row in failed)
    assert (f"row {failed[0]} is tried again" in printed, len(night.results())) == (True, 1)


def test_a_run_that_the_server_has_forgotten_is_tried_again_at_once(night: Night) -> None:
    night.rows({"prompt": "lose", "seed": 1})
    port = free_port()
    night.host(port)
    printed = ends(night.batch(ports=(port,)), 0)
    assert "row 1 is tried again: the server has neither queued nor finished the run" in printed
    assert len(night.results()) == 1


def test_without_a_server_the_batch_ends(night: Night) -> None:
    night.rows({"seed": 1})
    assert "no ComfyUI answers" in ends(night.batch(ports=(free_port(), free_port())), 1)


@pytest.mark.parametrize("killed", [False, True])
def test_a_server_ends_with_the_worker_that_started_it(night: Night, killed: bool) -> None:
    """Also where the process in between is killed first."""
    port = free_port()
    command = [sys.executable, str(STUB), str(port), str(night.log)]
    worker = subprocess.Popen([sys.executable, str(TIED), *command], stdin=subprocess.PIPE)
    wait_until(lambda: is_open(port))
    if killed:
        worker.kill()
        worker.wait()
        assert is_open(port)
    worker.stdin.close()
    wait_until(lambda: not is_open(port))
    worker.wait(60)


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed here: pip install ray")
def test_rows_as_tasks_of_a_cluster(night: Night) -> None:
    """Of two workers, each of which starts a server of its own, and of which one is killed with its server."""
    night.rows(*({"prompt": f"number {seed}", "seed": seed} for seed in range(60)))
    start = f"{sys.executable} {STUB} {{port}} {night.log} 0.2"
    batch = night.batch("--ray", "local", "--ray-workers", "2", "--start", start)
    # A cluster takes its time to start.
    night.wait_for(10, seconds=300)
    victim = next(night.folder.glob("*.pid"))
    os.kill(int(victim.read_text()), signal.SIGKILL)
    ends(batch, 0)
    assert sorted(entry["seed"] for entry in night.states().values()) == list(range(60))
    assert {entry["state"] for entry in night.states().values()} == {"done"}
    assert len(night.results()) == 60
    assert len(night.ran()) <= 61
    assert len({port for port, _, _ in night.ran()}) >= 2
    # The servers end with the workers that started them.
    wait_until(lambda: not any(is_open(int(port)) for port, _, _ in night.ran()))

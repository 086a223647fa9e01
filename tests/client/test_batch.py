"""The batch tool as a process of its own: what it leaves behind, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from animatelcm.tests.client.stand import Stand, html, reset, status

ROOT = Path(__file__).resolve().parents[2]
NODES = {"SaveVideo": {"input": {"required": {"video": ["VIDEO", {}]}}, "output_node": True},
         "SaveLoRA": {"input": {"required": {"lora": ["LORA_MODEL", {}]}}, "output_node": True},
         "KSampler": {"input": {"required": {"seed": ["INT", {}]}}}}

Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start(stand: Stand, tmp_path: Path) -> Start:
    """Return a function that starts batch.py with a workflow of one saving node."""
    stand.answers["/object_info"] = (200, "application/json", json.dumps(NODES).encode())

    def run(*arguments: str, kind: str = "SaveVideo") -> subprocess.Popen:
        prompt: dict[str, Any] = {"1": {"class_type": kind, "inputs": {}},
                                  "2": {"class_type": "KSampler", "inputs": {"seed": 1}}}
        (tmp_path / "workflow.json").write_text(json.dumps(prompt), encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, str(ROOT / "batch.py"), str(tmp_path / "workflow.json"), "--server", stand.url,
             "--output", str(tmp_path / "clips"), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return run


def clips(folder: Path) -> list[Path]:
    """Return the results, without the manifest."""
    return [path for path in (folder / "clips").glob("*") if path.suffix != ".jsonl"]


def test_two_runs_into_one_folder_keep_all_results(start: Start, tmp_path: Path) -> None:
    runs = [start("--seed", "1", "2", "3", "--manifest", str(tmp_path / f"{name}.jsonl")) for name in "ab"]
    printed = [line for run in runs for line in run.communicate(timeout=60)[0].splitlines() if "clips" in line]
    assert [run.returncode for run in runs] == [0, 0]
    assert sorted(printed) == sorted(map(str, clips(tmp_path)))
    assert len(set(printed)) == 6


@pytest.mark.parametrize("name", ["../../escaped.mp4", "..\\escaped.mp4", "/tmp/escaped.mp4", "a/../../escaped.mp4",
                                  "a.mp4/../../escaped.mp4"])
def test_a_name_from_the_server_does_not_lead_out_of_the_folder(stand: Stand, start: Start, tmp_path: Path,
                                                                name: str) -> None:
    stand.outputs = {"1": {"images": [{"filename": name, "subfolder": "", "type": "output"}]}}
    before = set(tmp_path.rglob("*"))
    run = start()
    assert run.communicate(timeout=60)[0].splitlines()[-1] == str(tmp_path / "clips" / "0001-seed-1.mp4")
    made = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert made == {tmp_path / "workflow.json", tmp_path / "clips" / "0001-seed-1.mp4",
                    tmp_path / "clips" / "batch.jsonl"}


def test_every_row_has_its_seed(stand: Stand, start: Start) -> None:
    run = start("--seed", "7", "11", "--set", "KSampler.seed=3")
    assert run.communicate(timeout=60)[0].splitlines()[::2] == ["1/2 seed 7", "2/2 seed 11"]
    queued = [body["prompt"]["2"]["inputs"]["seed"] for path, body in stand.calls if path == "/prompt"]
    assert queued == [7, 11]


IGNORES = """
import signal, sys
sys.path.insert(0, sys.argv[1])
signal.signal(signal.SIGHUP, signal.SIG_IGN)
import batch
batch.stop_like_ctrl_c()
print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN,
      signal.getsignal(signal.SIGTERM) is signal.default_int_handler)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_a_signal_that_is_ignored_stays_so() -> None:
    """As under nohup, where a closed terminal ends nothing."""
    done = subprocess.run([sys.executable, "-c", IGNORES, str(ROOT)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_hiccups_lose_no_row(stand: Stand, start: Start, tmp_path: Path) -> None:
    stand.trouble("/object_info", reset)
    stand.trouble("/prompt", status(500), reset)
    stand.trouble("/view", status(502))
    run = start("--seed", "1", "2")
    assert run.communicate(timeout=60)[1] == ""
    assert (run.returncode, len(clips(tmp_path))) == (0, 2)


def test_a_web_page_is_no_result(stand: Stand, start: Start, tmp_path: Path) -> None:
    stand.trouble("/view", html)
    run = start("--retries", "0")
    assert "text/html in place of a.mp4" in run.communicate(timeout=60)[1]
    assert (run.returncode, clips(tmp_path)) == (1, [])


@pytest.mark.parametrize(("kind", "code"), [("SaveVideo", 1), ("SaveLoRA", 0)])
def test_a_run_without_files_fails_unless_it_trains(stand: Stand, start: Start, kind: str, code: int) -> None:
    stand.outputs = {"1": {"images": [{"filename": "a.png", "subfolder": "", "type": "temp"}]}}
    run = start("--retries", "0", kind=kind)
    errors = run.communicate(timeout=60)[1]
    assert (run.returncode, "no file to fetch" in errors) == (code, code == 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a program can catch")
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_takes_the_prompt_off_the_server(stand: Stand, start: Start, number: int, early: bool) -> None:
    stand.finishes = False
    running = threading.Event()
    queue = stand.queue
    stand.queue = lambda prompt_id: (queue(prompt_id), running.set())
    if early:
        # The signal comes while the prompt is on its way.
        stand.trouble("/prompt", lambda handler: (running.set(), time.sleep(0.3), handler.send(
            *stand.answer("/prompt", stand.calls[-1][1]))))
    run = start()
    assert running.wait(60)
    run.send_signal(number)
    assert "Traceback" not in run.communicate(timeout=60)[1]
    assert (run.returncode, stand.running) == (130, [])


def test_a_label_that_the_output_has_no_letters_for(start: Start, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a pipe on Windows, in the writing of the country. The table comes behind options."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    rows = tmp_path / "rows.csv"
    rows.write_text("name\n猫\n", encoding="utf-8")
    run = start(str(rows))
    printed, errors = run.communicate(timeout=60)
    assert (run.returncode, errors) == (0, "")
    assert "1/1 \\u732b" in printed
    assert [path.name for path in clips(tmp_path)] == ["0001-猫-seed-1.mp4"]

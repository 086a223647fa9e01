"""The parts of a batch: tables, checks, names, the manifest, and files that are saved once."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from animatelcm.client.batches.board import Board, Turn
from animatelcm.client.batches.checks import changed, objections
from animatelcm.client.batches.display import Display
from animatelcm.client.batches.jobs import Job, Recipe, make_jobs
from animatelcm.client.batches.manifest import DONE, QUEUED, SAVING, Manifest
from animatelcm.client.batches.results import save
from animatelcm.client.batches.rows import Row, make_rows, read_rows
from animatelcm.client.batches.work import Limits, Worker, run_all
from animatelcm.client.http import RunError
from animatelcm.client.workflow import WorkflowError

NODES = {"KSampler": {"input": {"required": {
             "seed": ["INT", {"min": 0, "max": 1000}], "cfg": ["FLOAT", {"min": 0.0, "max": 100.0}],
             "sampler": [["lcm", "euler"], {}], "tile": ["BOOLEAN", {}], "positive": ["CONDITIONING"]}}},
         "Text": {"input": {"required": {"text": ["STRING", {}]}}},
         "Load": {"input": {"required": {"image": [["a.png"], {"image_upload": True}]}}},
         "Number": {"input": {"required": {"value": ["INT", {"min": -1000}]}}},
         "Save": {"input": {"required": {"codec": ["COMFY_DYNAMICCOMBO_V3", {"options": [
             {"key": "auto", "inputs": {"required": {}}},
             {"key": "h264", "inputs": {"required": {"crf": ["FLOAT", {"min": 0, "max": 51}]}}}]}]}}}}
PROMPT = {"1": {"class_type": "KSampler", "inputs": {"seed": 1, "cfg": 1.0, "sampler": "lcm", "tile": False,
                                                      "positive": ["2", 0]}},
          "2": {"class_type": "Text", "inputs": {"text": "a cat"}},
          "3": {"class_type": "Load", "inputs": {"image": "a.png"}},
          "4": {"class_type": "Save", "inputs": {"codec": "h264", "codec.crf": 20}}}


def job(key: str = "k1", name: str = "0001-seed-5") -> Job:
    return Job(key, 1, "seed 5", name, 5, {}, None, {})


@pytest.mark.parametrize(("text", "expected"), [
    ("prompt,seed\na cat,5\n\n\"a cat, a dog\",\n", [{"prompt": "a cat", "seed": 5}, {"prompt": "a cat, a dog"}]),
    ("\ufeffprompt;KSampler.cfg\r\na cat;1.5\r\n", [{"prompt": "a cat", "KSampler.cfg": 1.5}]),
    ("prompt\tname\n3\t007\n", [{"prompt": "3", "name": "007"}]),
    ("prompt,seed\n\"two\nlines\",5\n", [{"prompt": "two\nlines", "seed": 5}]),
])
def test_tables_with_commas_semicolons_and_tabs(tmp_path: Path, text: str, expected: list[Any]) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode())
    assert [row.values for row in read_rows(path)] == expected


def test_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a cat", "seed": 5}\n\n{"prompt": null, "KSampler.cfg": 1.5}\n', encoding="utf-8")
    assert [(row.place, row.values) for row in read_rows(path)] == [
        ("rows.jsonl, line 1", {"prompt": "a cat", "seed": 5}), ("rows.jsonl, line 3", {"KSampler.cfg": 1.5})]


@pytest.mark.parametrize(("name", "text", "message"), [
    ("rows.csv", "", "has no rows|expected a first line"), ("rows.csv", "prompt\n", "has no rows"),
    ("rows.csv", "prompt,prompt\na,b\n", "names each column once"), ("rows.csv", "prompt,\na,b\n", "each column once"),
    ("rows.csv", "prompt,seed\na,b,c\n", "line 2: 3 cells under 2 columns"),
    ("rows.csv", "promt\na\n", "the column 'promt' is none"), ("rows.csv", 'prompt\n"a\n', "line 2"),
    ("rows.jsonl", "[1]\n", r"line 1: expected a JSON object, got '\[1\]'"), ("rows.jsonl", "{", "line 1"),
    ("rows.txt", "a", "no table of rows"), ("rows.csv", b"prompt\n\xff\n", "not text in UTF-8"),
])
def test_broken_tables_are_refused_by_line(tmp_path: Path, name: str, text: Any, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(WorkflowError, match=message):
        read_rows(path)


@pytest.mark.parametrize(("node", "name", "value", "trouble"), [
    ("1", "seed", -1, "seed of node 1 .* is -1, expected 0 to 1000"), ("1", "seed", 1001, "expected 0 to 1000"),
    ("1", "seed", 1.5, "expected a whole number"), ("1", "seed", "x", "expected a whole number"),
    ("1", "seed", True, "expected a whole number"), ("1", "cfg", "x", "expected a number"), ("1", "cfg", 2, None),
    ("1", "sampler", "ddim", "expected one of lcm, euler"), ("1", "sampler", "euler", None),
    ("1", "tile", 1, "expected true or false"), ("2", "text", [1], "expected a text"), ("2", "text", 3, None),
    ("3", "image", "b.png", "expected one of a.png"), ("3", "image", "sub/b.png", None),
    ("3", "image", "b.png [output]", None), ("4", "codec", "av1", "expected one of auto, h264"),
    ("4", "codec.crf", 60, "expected 0 to 51"), ("4", "codec.crf", 23, None),
])
def test_values_that_the_server_would_refuse(node: str, name: str, value: Any, trouble: str | None) -> None:
    prompt = copy.deepcopy(PROMPT)
    prompt[node]["inputs"][name] = value
    found = objections(prompt, changed(prompt, PROMPT), NODES)
    if trouble is None:
        assert found == []
    else:
        assert len(found) == 1
        with pytest.raises(WorkflowError, match=trouble):
            raise WorkflowError(found[0])


def test_a_seed_in_a_node_of_its_own_has_to_fit_where_it_leads() -> None:
    original = copy.deepcopy(PROMPT) | {"9": {"class_type": "Number", "inputs": {"value": 1}}}
    original["1"]["inputs"]["seed"] = ["9", 0]
    prompt = copy.deepcopy(original)
    prompt["9"]["inputs"]["value"] = -1
    [found] = objections(prompt, changed(prompt, original), NODES)
    assert "seed of node 1 (KSampler) is -1" in found


def jobs_of(folder: Path, *rows: dict[str, Any], **recipe: Any) -> list[Job]:
    (folder / "workflow.json").write_text(json.dumps(PROMPT), encoding="utf-8")
    made = [Row(f"row {number}", values) for number, values in enumerate(rows, 1)]
    return make_jobs(made, Recipe(recipe.pop("workflow", folder / "workflow.json"), folder, **recipe), NODES)


def test_names_come_from_row_and_seed(tmp_path: Path) -> None:
    rows = ({"prompt": "A cat, größer/than: life", "seed": 5}, {"name": "best"}, {})
    assert [job.name for job in jobs_of(tmp_path, *rows)] == [
        "0001-a-cat-größer-than-life-seed-5", "0002-best-seed-1", "0003-seed-1"]


def test_rows_are_known_by_what_runs(tmp_path: Path) -> None:
    one, same, other, named = jobs_of(tmp_path, {"seed": 5}, {"seed": 5}, {"seed": 6}, {"seed": 7, "name": "x"})
    assert len({one.key, same.key, other.key, named.key}) == 4
    # The same row again is another one, and known again as such in whatever order the others are.
    assert [job.key for job in jobs_of(tmp_path, {"seed": 6}, {"seed": 5}, {"seed": 7}, {"seed": 5})] == [
        other.key, one.key, named.key, same.key]
    [changed_row] = jobs_of(tmp_path, {"seed": 5}, settings=("KSampler.cfg=2",))
    assert changed_row.key != one.key


def test_rows_may_have_workflows_of_their_own(tmp_path: Path) -> None:
    [found] = jobs_of(tmp_path, {"workflow": "workflow.json", "seed": 5}, workflow=None)
    assert found.seed == 5
    with pytest.raises(WorkflowError, match=r"row 2: it names no workflow"):
        jobs_of(tmp_path, {"workflow": "workflow.json"}, {"seed": 5}, workflow=None)


def test_prompts_and_seeds_make_rows() -> None:
    assert [row.values for row in make_rows(["a", "b"], [1, 2])] == [
        {"prompt": "a", "seed": 1}, {"prompt": "a", "seed": 2}, {"prompt": "b", "seed": 1}, {"prompt": "b", "seed": 2}]
    assert [row.values for row in make_rows([], [])] == [{}]


@pytest.mark.parametrize("torn", [b'{"row": "k1", "sta', b'{"row": "k1"', b"\xff", b"{"])
def test_a_line_that_a_killed_process_left_unfinished_is_passed_over(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "batch.jsonl"
    Manifest(path).write(job(), QUEUED, prompt_id="p", server="s")
    with path.open("ab") as file:
        file.write(torn)
    again = Manifest(path)
    assert again.state(job()) == QUEUED
    again.write(job("k2"), DONE)
    last = Manifest(path)
    assert (last.state(job()), last.state(job("k2"))) == (QUEUED, DONE)
    assert last.last["k1"]["prompt_id"] == "p"


def test_a_first_line_that_was_never_finished_is_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    path.write_bytes(b'{"row": "k1", "sta')
    manifest = Manifest(path)
    manifest.write(job(), DONE)
    assert Manifest(path).state(job()) == DONE


def test_a_file_of_another_kind_is_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    path.write_text("prompt,seed\na cat,5\n", encoding="utf-8")
    with pytest.raises(WorkflowError, match="is no manifest of a batch"):
        Manifest(path)


def test_what_was_begun_is_saved_in_its_place(tmp_path: Path) -> None:
    """The program was ended after it had written down where a file goes, before, while or after it went there."""
    film = b"film"
    for number, left in enumerate((None, b"", film)):
        folder = tmp_path / str(number)
        manifest = Manifest(folder / "batch.jsonl")
        manifest.write(job(), SAVING, files=[{"name": "0001-seed-5.mp4", "sha256": hashlib.sha256(film).hexdigest()}])
        if left is not None:
            (folder / "0001-seed-5.mp4").write_bytes(left)
        save(job(), [("video_1_.mp4", film)], folder, manifest)
        assert [path.read_bytes() for path in folder.glob("*.mp4")] == [film]


def test_the_file_of_another_run_is_kept(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "batch.jsonl")
    (tmp_path / "0001-seed-5.mp4").write_bytes(b"another")
    [first] = save(job(), [("video.mp4", b"film")], tmp_path, manifest)
    assert (first["name"], (tmp_path / first["name"]).read_bytes()) == ("0001-seed-5-2.mp4", b"film")
    assert (tmp_path / "0001-seed-5.mp4").read_bytes() == b"another"


def test_several_files_of_a_row_are_numbered(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "batch.jsonl")
    entries = save(job(), [("../a.png", b"1"), ("b.PNG", b"2")], tmp_path, manifest)
    assert [entry["name"] for entry in entries] == ["0001-seed-5-1.png", "0001-seed-5-2.png"]


def test_what_another_took_over_is_to_be_dropped_when_a_server_is_back() -> None:
    board = Board(keep_going=True)
    board.add([Turn(job(), home="one", prompt_id="p")])
    board.leave("one")
    turn = board.take("two")
    assert turn is not None
    assert (turn.home, turn.prompt_id) == (None, None)
    assert board.come_back("one") == ["p"]
    board.done()
    assert board.take("one") is None


def test_a_row_waits_for_its_own_server_while_that_answers() -> None:
    board = Board(keep_going=True)
    board.add([Turn(job(), home="one", prompt_id="p"), Turn(job("k2"))])
    assert board.take("two") == Turn(job("k2"))
    assert board.take("one") == Turn(job(), home="one", prompt_id="p")


def test_the_time_left_is_that_of_the_rows_so_far(capsys: pytest.CaptureFixture[str],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 1800.0))
    monkeypatch.setattr("animatelcm.client.batches.display.time.monotonic", lambda: next(clock))
    display = Display(total=8, done=2, several=True)
    display.begin(job(), "http://one")
    display.finish(["a.mp4"])
    display.begin(job(), "http://one")
    assert capsys.readouterr().out.splitlines() == [
        "1/8 seed 5 on http://one", "a.mp4", "1/8 seed 5 on http://one, 2 h 30 min left"]


class FullDisk(Manifest):
    """A manifest on a disk that is full."""

    def write(self, job: Job, state: str, **facts: Any) -> None:
        raise OSError(28, "No space left on device")


class NoPlace:
    """A place that would run anything."""

    name = "http://one"

    def run(self, *details: Any) -> list[tuple[str, bytes]]:
        return [("a.mp4", b"film")]

    def is_back(self) -> bool:
        return True

    def cancel(self, prompt_id: str) -> None:
        pass


def test_a_full_disk_ends_the_batch_and_hangs_nothing(tmp_path: Path) -> None:
    board = Board(keep_going=False)
    board.add([Turn(job()), Turn(job("k2"))])
    display = Display(2, 0, several=False)
    worker = Worker(NoPlace(), board, FullDisk(tmp_path / "batch.jsonl"), tmp_path, Limits(), display)
    run_all([worker, worker], board)
    assert "No space left on device" in board.failed[0][1]
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_wants_a_password_is_left_out_at_once(tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    class Closed(NoPlace):
        def is_back(self) -> bool:
            raise RunError("http://one wants a name and a password")

    board = Board(keep_going=False)
    board.add([Turn(job())])
    worker = Worker(Closed(), board, Manifest(tmp_path / "batch.jsonl"), tmp_path, Limits(), Display(1, 0, False))
    run_all([worker], board)
    assert "http://one is left out: http://one wants a name and a password" in capsys.readouterr().err
    assert board.left == 1


def test_a_terminal_that_is_gone_ends_no_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

        def flush(self) -> None:
            raise BrokenPipeError(32, "Broken pipe")

        def isatty(self) -> bool:
            return False

    board = Board(keep_going=True)
    board.add([Turn(job()), Turn(job("k2"))])
    manifest = Manifest(tmp_path / "batch.jsonl")
    monkeypatch.setattr("sys.stdout", Gone())
    monkeypatch.setattr("sys.stderr", Gone())
    run_all([Worker(NoPlace(), board, manifest, tmp_path, Limits(), Display(2, 0, False))], board)
    assert (board.failed, board.left) == ([], 0)
    assert (manifest.state(job()), manifest.state(job("k2"))) == (DONE, DONE)

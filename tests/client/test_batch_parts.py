"""The parts of a batch: the manifest, files that are saved once, and whose turn a row is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from animatelcm.client.batches.board import Board, Turn
from animatelcm.client.batches.display import Display
from animatelcm.client.batches.jobs import Job
from animatelcm.client.batches.manifest import DONE, FAILED, QUEUED, SAVING, Manifest
from animatelcm.client.batches.results import save
from animatelcm.client.batches.work import Limits, Worker, run_all
from animatelcm.client.http import RunError
from animatelcm.client.outcomes import RefusedError
from animatelcm.client.workflow import WorkflowError


def job(key: str = "k1", name: str = "0001-seed-5") -> Job:
    return Job(key, 1, "seed 5", name, 5, {}, None, {})


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


def test_where_a_row_runs_is_known_while_its_files_are_saved(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "batch.jsonl")
    manifest.write(job(), QUEUED, prompt_id="p", server="s")
    manifest.write(job(), SAVING, files=[])
    for found in (manifest, Manifest(tmp_path / "batch.jsonl")):
        assert {"state": SAVING, "prompt_id": "p", "server": "s", "files": []}.items() <= found.last["k1"].items()


def test_every_line_is_on_the_disk_before_anything_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[bytes] = []
    path = tmp_path / "batch.jsonl"
    monkeypatch.setattr("animatelcm.client.batches.manifest.os.fsync", lambda file: flushed.append(path.read_bytes()))
    manifest = Manifest(path)
    for state in (QUEUED, DONE):
        manifest.write(job(), state)
        assert flushed[-1] == path.read_bytes()
    assert len(flushed) == 2


def test_half_a_character_in_a_label_is_written_and_read(tmp_path: Path) -> None:
    """As JSON may hold it."""
    broken = Job("k1", 1, "a \ud800 cat", "0001", 5, {}, None, {})
    Manifest(tmp_path / "batch.jsonl").write(broken, DONE)
    assert Manifest(tmp_path / "batch.jsonl").last["k1"]["label"] == broken.label


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


def test_what_is_under_way_on_a_server_is_looked_up_first() -> None:
    board = Board(keep_going=True)
    board.add([Turn(job("k2")), Turn(job(), home="one", prompt_id="p")])
    assert board.take("one") == Turn(job(), home="one", prompt_id="p")


@pytest.mark.parametrize("tries", [1, 3])
def test_a_row_is_tried_so_often_and_no_more(tmp_path: Path, tries: int) -> None:
    class Broken(NoPlace):
        runs = 0

        def run(self, *details: Any) -> list[tuple[str, bytes]]:
            self.runs += 1
            assert self.runs <= tries
            raise RunError("out of luck")

    board, place, manifest = Board(keep_going=True), Broken(), Manifest(tmp_path / "batch.jsonl")
    board.add([Turn(job())])
    limits = Limits(tries=tries, waits=(0.0,))
    run_all([Worker(place, board, manifest, tmp_path, limits, Display(1, 0, several=False))], board)
    assert (place.runs, manifest.state(job())) == (tries, FAILED)
    assert [error for _, error in board.failed] == ["out of luck"]


def test_a_run_that_was_under_way_and_failed_is_queued_anew(tmp_path: Path) -> None:
    asked: list[tuple[str, bool]] = []

    class FailedBefore(NoPlace):
        def run(self, job: Job, prompt_id: str, known: bool, show: Any) -> list[tuple[str, bytes]]:
            asked.append((prompt_id, known))
            if known:
                raise RunError("out of luck")
            return [("a.mp4", b"film")]

    board = Board(keep_going=True)
    board.add([Turn(job(), home=NoPlace.name, prompt_id="p")])
    manifest = Manifest(tmp_path / "batch.jsonl")
    run_all([Worker(FailedBefore(), board, manifest, tmp_path, Limits(waits=(0.0,)), Display(1, 0, False))], board)
    assert [known for _, known in asked] == [True, False]
    assert asked[0][0] == "p" != asked[1][0]
    assert manifest.state(job()) == DONE


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


class Picky(NoPlace):
    """A place that lacks a model."""

    name = "http://two"

    def run(self, *details: Any) -> list[tuple[str, bytes]]:
        raise RefusedError("no such model")


class Absent(NoPlace):
    """A place that never answers."""

    def is_back(self) -> bool:
        return False


@pytest.mark.parametrize(("other", "state", "said"), [
    (NoPlace, DONE, "row 1 is left to the other servers: no such model"), (Absent, FAILED, "http://one is left out"),
    (Picky, FAILED, "")])
def test_a_row_that_one_server_refuses_is_left_to_the_others(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], other: type[NoPlace], state: str, said: str) -> None:
    """As long as there are any."""
    board, manifest, display = Board(keep_going=True), Manifest(tmp_path / "batch.jsonl"), Display(1, 0, several=True)
    # It is under way where it is refused: nobody else has had it before.
    board.add([Turn(job(), home=Picky.name, prompt_id="p")])
    run_all([Worker(place, board, manifest, tmp_path, Limits(away=0.5, looks=0.1), display)
             for place in (Picky(), other())], board)
    assert (manifest.state(job()), board.left) == (state, 0)
    assert [error for _, error in board.failed] == (["no such model"] if state == FAILED else [])
    assert said in capsys.readouterr().err


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

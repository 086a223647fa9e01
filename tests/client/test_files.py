"""Results get names of their own, and lie there whole or not at all."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from animatelcm.client.files import safe_name, write_new, write_whole


def test_a_name_is_taken_once_however_many_write(tmp_path: Path) -> None:
    start, written = threading.Barrier(8), []

    def work(number: int) -> None:
        start.wait()
        written.extend((write_new(tmp_path / "new" / "a.mp4", bytes([number] * 1000)), number) for _ in range(4))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {f"a-{number}.mp4" for number in range(2, 33)} | {"a.mp4"}
    assert {path.name for path, _ in written} == names == set(os.listdir(tmp_path / "new"))
    assert all(path.read_bytes() == bytes([number] * 1000) for path, number in written)


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("write", [write_new, write_whole])
def test_a_full_disk_leaves_nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write, step: str) -> None:
    (tmp_path / "a.mp4").write_bytes(b"before")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"animatelcm.client.files.os.{step}", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "a.mp4", b"after")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.mp4", b"before")]


def test_writing_whole_takes_the_place_of_the_file_before(tmp_path: Path) -> None:
    for content in (b"a longer text", b"short"):
        assert write_whole(tmp_path / "a.mp4", content).read_bytes() == content
    assert os.listdir(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize(("name", "expected"), [
    ("a.mp4", "a.mp4"), ("../../a.mp4", "a.mp4"), ("C:\\b\\a.mp4", "a.mp4"), ("..", "result"), ("", "result"),
    ('a:b?"<>|*.mp4', "a_b______.mp4"), ("a\x00\n.mp4", "a__.mp4"), ("bär 熊.mp4", "bär 熊.mp4"), ("a/", "result"),
    ("nul.mp4", "_nul.mp4"), ("console.mp4", "console.mp4"),
])
def test_names_from_elsewhere_stay_in_the_folder(name: str, expected: str) -> None:
    assert safe_name(name) == expected

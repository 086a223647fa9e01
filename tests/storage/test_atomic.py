"""Files that are whole or as they were, whatever happens while they are written."""

import errno
import os

import pytest
import torch
from animatelcm.storage.atomic import WriteError, remove_unfinished, replacing, write_text
from safetensors.torch import load_file, save_file

WEIGHTS = {"weight": torch.zeros(100_000)}


@pytest.fixture
def little_space():
    """Let no file grow beyond 50 kB: what a full disk is like, for this process alone."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def through_a_file(path):
    with path.open("wb") as file:
        torch.save(WEIGHTS, file)


@pytest.mark.parametrize("write", [through_a_file, lambda path: save_file(WEIGHTS, path),
                                   lambda path: path.write_text("x" * 400_000, encoding="utf-8")])
def test_a_full_disk_is_called_one_and_leaves_what_was_there(tmp_path, little_space, write):
    """torch says "unexpected pos" of it, and safetensors hides it in a sentence."""
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(WriteError, match=r"file is not written: File too large\. What was there before is as it was"), \
            replacing(path) as unfinished:
        write(unfinished)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"),
                                   RuntimeError("I/O error: No space left on device (os error 28)")])
def test_the_systems_own_words_are_given(tmp_path, error):
    with pytest.raises(WriteError, match="No space left on device. What"), replacing(tmp_path / "file"):
        raise error


@pytest.mark.parametrize("reason", [KeyboardInterrupt, ValueError])
def test_what_breaks_off_changes_nothing(tmp_path, reason):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(reason), replacing(path) as unfinished:
        unfinished.write_bytes(b"half")
        raise reason
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_two_that_write_one_file_at_a_time_do_not_meet(tmp_path):
    path = tmp_path / "new" / "cats.v1.safetensors"
    with replacing(path) as first, replacing(path) as second:
        assert first != second and path.name in first.name
        save_file({"weight": torch.ones(1)}, second)
        save_file({"weight": torch.zeros(1)}, first)
    assert load_file(path)["weight"].item() == 0 and list(path.parent.iterdir()) == [path]


def test_what_a_killed_process_left_goes_and_nothing_else(tmp_path):
    path = tmp_path / "cats.pt"
    left, others = ".cats.pt.12.0123abcd.tmp", {".cats.pt.pt.12.0123abcd.tmp", ".dogs.pt.12.0123abcd.tmp", "cats.pt"}
    for name in (left, *others):
        (tmp_path / name).touch()
    remove_unfinished(path)
    assert {file.name for file in tmp_path.iterdir()} == others


def test_text_is_on_the_disk_before_it_takes_the_place(tmp_path, monkeypatch):
    order, flush, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (order.append("fsync"), flush(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("replace"), replace(*paths)))
    write_text(tmp_path / "page.md", "é")
    assert order == ["fsync", "replace"] and (tmp_path / "page.md").read_text(encoding="utf-8") == "é"

"""Checkpoints: whole or as they were, read without running anything, and for no other run than their own."""

import pytest
import torch
from animatelcm.storage.atomic import WriteError
from animatelcm.training import checkpoints
from animatelcm.training.checkpoints import CheckpointError, check, fill, load, save
from animatelcm.training.origin import Origin

CPU = torch.device("cpu")
STATE = {"step": 3, "origin": Origin({"seed": 0}).plain()}


class Command:
    """What a checkpoint from a stranger could hold: unpickling it calls a function."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return type(self.marker).touch, (self.marker,)


@pytest.mark.parametrize("mmap", [False, True])
def test_reading_a_checkpoint_runs_nothing_that_is_in_it(tmp_path, mmap):
    path, marker = tmp_path / "s.pt", tmp_path / "it_ran"
    torch.save({"step": 1, "network": Command(marker)}, path)
    with pytest.raises(CheckpointError, match="s.pt is no readable checkpoint"):
        load(path, CPU, mmap=mmap)
    assert not marker.exists()
    # The trap works: this is what it would have done.
    torch.load(path, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("reason", [KeyboardInterrupt, RuntimeError])
def test_a_checkpoint_that_is_half_written_is_none(tmp_path, monkeypatch, reason):
    path = tmp_path / "s.pt"
    save(path, STATE)
    before = path.read_bytes()

    def half(state, file):
        file.write(before[:100])
        raise reason

    monkeypatch.setattr(checkpoints.torch, "save", half)
    with pytest.raises(reason):
        save(path, {**STATE, "step": 4})
    assert path.read_bytes() == before and load(path, CPU)["step"] == 3 and list(tmp_path.iterdir()) == [path]


def test_two_processes_that_save_at_a_time_leave_a_whole_checkpoint(tmp_path, monkeypatch):
    """The second one begins and ends while the first one writes."""
    path, write = tmp_path / "s.pt", torch.save

    def slow(state, file):
        if state["step"] == 1:
            save(path, {**STATE, "step": 2})
        write(state, file)

    monkeypatch.setattr(checkpoints.torch, "save", slow)
    save(path, {**STATE, "step": 1})
    assert load(path, CPU)["step"] == 1 and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_reported_as_one_and_the_last_checkpoint_stays(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "s.pt"
    save(path, STATE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(WriteError, match="s.pt is not written: File too large") as caught:
            save(path, {**STATE, "network": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "unexpected pos" not in str(caught.value)
    assert load(path, CPU)["step"] == 3 and list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_of_another_run_is_refused_with_what_differs_and_what_to_do(tmp_path):
    path, own = tmp_path / "s.pt", Origin({"seed": 0})
    check(path, STATE, own, steps=3)
    with pytest.raises(CheckpointError, match=r"s.pt belongs to another training: seed 1, was 0; with data, was without"
                                              r"\. Go on with what it was begun with, or choose another name"):
        check(path, STATE, Origin({"seed": 1}, {"data": "x"}), steps=3)
    with pytest.raises(CheckpointError, match="has 3 steps behind it, and 2 are asked for. Ask for 3 or more"):
        check(path, STATE, own, steps=2)
    with pytest.raises(CheckpointError, match="was written by an older version of this pack.*Choose another name"):
        check(path, {"step": 3}, own, steps=3)


@pytest.mark.parametrize("shape", [(1, 4), (3, 1), (1, 1), (3, 5)])
def test_weights_of_another_shape_are_not_spread_over_the_network(tmp_path, shape):
    weights = {"a": torch.zeros(3, 4), "b": torch.zeros(2)}
    with pytest.raises(CheckpointError, match="s.pt belongs to another training: its network differs in 1 tensors, such"
                                              " as a"):
        fill(tmp_path / "s.pt", "network", weights, {"a": torch.ones(shape), "b": torch.ones(2)})
    assert not weights["a"].any() and not weights["b"].any()

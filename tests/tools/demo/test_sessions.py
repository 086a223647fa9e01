"""Sittings go on where the last one ended, end in time, and are finished from the last weights."""

import pytest
import torch
from animatelcm.tools.demo.sessions import Plan, Sitting, run, stage_of
from animatelcm.training.checkpoints import CheckpointError, load
from torch import nn


def network():
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(1.0)
    return layer


def plan(folder, finish=None):
    return Plan(folder, seed=0, batch=1, learning_rate=0.05, finish=finish)


def sit(folder, minutes, finish=None):
    """Run one sitting; return its steps, what it showed and what it said."""
    layer, looks, said = network(), [], []
    chosen = plan(folder, finish)
    stage = stage_of("tiny", layer, lambda step: (layer(torch.ones(1, 2)) - step % 3).square().mean(), {}, chosen)
    steps = run(stage, chosen.config(), folder / f"{stage.name}.pt", Sitting(minutes, line_every=0.0), looks.append,
                said.append)
    return steps, looks, said, layer


def test_a_sitting_ends_in_time_and_the_next_one_goes_on(tmp_path):
    first, looks, said, _ = sit(tmp_path, 0.0005)
    assert looks == [first] and load(tmp_path / "tiny.pt", torch.device("cpu"))["step"] == first
    assert "min to go" in said[0] and f"tiny step 1/{plan(tmp_path).config().steps}" in said[0]
    second, _, said, _ = sit(tmp_path, 0.0005)
    assert second > first and f"tiny step {first + 1}/" in said[0]


def test_finishing_begins_with_the_last_weights_and_takes_the_rate_to_zero(tmp_path):
    with pytest.raises(CheckpointError):
        sit(tmp_path, 1, finish=5)
    sit(tmp_path, 0.0005)
    before = load(tmp_path / "tiny.pt", torch.device("cpu"))["network"]
    layer = network()
    stage_of("tiny", layer, lambda step: None, {}, plan(tmp_path, 5))
    assert all(torch.equal(weight, before[name]) for name, weight in layer.named_parameters())
    steps, looks, said, _ = sit(tmp_path, 1, finish=5)
    assert steps == 5 and looks == [5]
    assert (tmp_path / "tiny-finish.pt").exists()
    # Once more there is nothing left to do, and it says so.
    assert "nothing was trained" in sit(tmp_path, 1, finish=5)[2][0]


def test_more_of_the_training_makes_an_old_finish_stale(tmp_path):
    sit(tmp_path, 0.0005)
    sit(tmp_path, 1, finish=5)
    sit(tmp_path, 0.0005)
    with pytest.raises(CheckpointError, match="begins after"):
        sit(tmp_path, 1, finish=5)

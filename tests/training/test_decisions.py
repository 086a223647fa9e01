"""What one process says to the others, and when it says nothing more."""

import pytest
import torch
from animatelcm.training.decisions import StoppedElsewhere, Together


def with_others(*said):
    """Return what a process knows of others that say these numbers at every exchange, and what it said itself."""
    own = []

    def average(tensors):
        for tensor in tensors:
            own.append(tensor.tolist())
            tensor.copy_(torch.stack([tensor, *(torch.tensor(each) for each in said)]).mean(0))

    return Together(average), own


def test_who_cannot_be_reached_is_not_spoken_to_again():
    """Another try would wait for processes that are somewhere else by then."""
    calls = []

    def broken(tensors):
        calls.append(tensors)
        raise ConnectionError("the others are gone")

    together, reason = Together(broken), ConnectionError()
    with pytest.raises(ConnectionError, match="the others are gone"):
        together.decide(1.0)
    together.leave(reason)
    assert len(calls) == 1


@pytest.mark.parametrize("reason, said", [(ValueError(), [0, 1, 0]), (KeyboardInterrupt(), [0, 0, 1])])
def test_a_process_says_once_why_it_leaves(reason, said):
    together, own = with_others([0.0, 0.0, 0.0])
    together.leave(reason)
    together.leave(reason)
    assert own == [said]


@pytest.mark.parametrize("said, stops", [([0.0, 1.0, 0.0], StoppedElsewhere), ([0.0, 0.0, 1.0], KeyboardInterrupt)])
def test_one_of_many_that_stops_stops_all(said, stops):
    together, own = with_others(*[[0.0, 0.0, 0.0]] * 7, said)
    with pytest.raises(stops):
        together.all(lambda: "done")
    together.leave(stops())
    assert len(own) == 1, "the others know it already"


def test_the_mean_is_what_all_get():
    together, _ = with_others([1.0, 0.0, 0.0], [5.0, 0.0, 0.0])
    assert together.decide(3.0) == 3.0 and together.decide(0.0) == 2.0
    assert Together().decide(7.0) == 7.0

"""Two processes that share the batches of a step are one that takes them all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from animatelcm import standalone
from animatelcm.tests.training import toys
from animatelcm.training.config import LoopConfig
from animatelcm.training.loop import train
from animatelcm.training.processes import batch_number, interrupts_noted, shared
from animatelcm.training.stages import image_stage


@pytest.mark.parametrize("accumulation, processes", [(1, 2), (3, 2), (2, 4)])
def test_every_batch_of_a_single_process_is_taken_once_and_in_its_step(accumulation, processes):
    for step in range(3):
        taken = sorted(batch_number(step * accumulation + batch, accumulation, rank, processes)
                       for rank in range(processes) for batch in range(accumulation))
        whole = accumulation * processes
        assert taken == list(range(step * whole, (step + 1) * whole))


def loop(accumulation):
    return LoopConfig(steps=4, learning_rate=1e-2, accumulation=accumulation)


class Averaging:
    """Averages the gradients of threads that stand for processes."""

    def __init__(self, count):
        self.barrier, self.gradients = threading.Barrier(count, timeout=60), [None] * count

    def of(self, rank):
        def synchronise(gradients):
            self.gradients[rank] = gradients
            self.barrier.wait()
            means = [torch.stack(same).mean(0) for same in zip(*self.gradients, strict=True)]
            self.barrier.wait()
            for gradient, mean in zip(gradients, means, strict=True):
                gradient.copy_(mean)
        return synchronise


def test_two_processes_give_what_one_gives():
    alone = image_stage(toys.setting("image", loop=loop(2)))
    before = {name: weight.detach().clone() for name, weight in alone.parameters.items()}
    list(train(alone, loop(2)))
    together, average = [image_stage(toys.setting("image", loop=loop(1))) for _ in range(2)], Averaging(2)
    threads = [threading.Thread(target=lambda rank=rank, stage=stage: list(train(
        shared(stage, 1, rank, 2), loop(1), synchronise=average.of(rank)))) for rank, stage in enumerate(together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, weight in alone.parameters.items():
        assert (weight - before[name]).abs().max() > 1e-3
        for stage in together:
            torch.testing.assert_close(stage.parameters[name], weight, rtol=0, atol=1e-5)
            torch.testing.assert_close(stage.average[name], alone.average[name], rtol=0, atol=1e-5)


def test_ctrl_c_is_noted_while_it_is_wanted_and_raised_again_afterwards():
    both = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in both]
    with pytest.raises(ValueError), interrupts_noted() as noted:
        for number in both:
            signal.raise_signal(number)
        assert noted == [*both]
        raise ValueError
    assert [signal.getsignal(number) for number in both] == before
    with interrupts_noted(wanted=False) as noted:
        assert [signal.getsignal(number) for number in both] == before and noted == []


# Two real processes, of which one stops: the other stops too, and neither waits for ever.

@pytest.fixture(scope="module")
def endings(tmp_path_factory):
    """Return how each case ended for both processes, and the folder in which each has one of its own."""
    folder = tmp_path_factory.mktemp("pair")
    command = [sys.executable, str(Path(standalone.__file__)), "tests.training.one_of_two"]
    pair = [subprocess.Popen([*command, str(rank), str(folder)], stdout=subprocess.PIPE, text=True)
            for rank in range(2)]
    try:
        said = [process.communicate(timeout=120)[0] for process in pair]
    finally:
        for process in pair:
            process.kill()
    lines = [[json.loads(line) for line in text.splitlines() if line.startswith("{")] for text in said]
    return {one["case"]: (one["ended"], other["ended"]) for one, other in zip(*lines, strict=True)}, folder


@pytest.mark.parametrize("case, ended, kept", [
    ("all_is_well", ([6, 17.405], [6, 17.405]), 6),
    ("nothing_is_left_to_do", ([0, None], [0, None]), 6),
    ("one_diverges", ("DivergenceError", "DivergenceError"), None),
    ("one_has_a_loss_that_is_no_number", ("DivergenceError", "DivergenceError"), 2),
    ("one_has_no_memory", ("StoppedElsewhere", "OutOfMemoryError"), 2),
    ("one_has_no_memory_in_the_last_step", ("StoppedElsewhere", "OutOfMemoryError"), 4),
    ("the_writer_is_interrupted_between_steps", ("KeyboardInterrupt", "KeyboardInterrupt"), 3),
    ("the_other_is_interrupted_within_a_step", ("KeyboardInterrupt", "KeyboardInterrupt"), 3),
    ("one_is_interrupted_after_the_last_step", ("KeyboardInterrupt", "KeyboardInterrupt"), 6),
    ("one_refuses_its_checkpoint", ("StoppedElsewhere", "CheckpointError"), None),
    ("they_see_different_checkpoints", ("CheckpointError", "CheckpointError"), 2),
    ("the_writer_cannot_write", ("OSError", "StoppedElsewhere"), None),
    ("one_fails_before_the_run", ("StoppedElsewhere", "ValueError"), None),
    ("one_fails_while_the_other_begins", ("StoppedElsewhere", "MemoryError"), None),
    ("ctrl_c_reaches_one_alone", ("KeyboardInterrupt", "KeyboardInterrupt"), 3),
])
def test_what_stops_one_process_stops_both(endings, case, ended, kept):
    how, folder = endings
    assert how[case] == ended
    path = folder / case / "s.pt"
    if kept is None:
        return
    assert torch.load(path)["step"] == kept

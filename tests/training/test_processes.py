"""Two processes that share the batches of a step are one that takes them all."""

from __future__ import annotations

import threading

import pytest
import torch
from animatelcm.tests.training import toys
from animatelcm.training.config import LoopConfig
from animatelcm.training.loop import train
from animatelcm.training.processes import batch_number, shared
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

"""One of two processes that train together: it runs every case in turn, and prints how each ended for it.

    python standalone.py tests.training.one_of_two RANK FOLDER
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from unittest import mock

import torch
from torch import distributed, nn

from ...training import checkpoints, ema
from ...training.config import LoopConfig
from ...training.decisions import Together
from ...training.loop import train
from ...training.processes import interrupts_noted
from ...training.trainer import Stage

STEPS = 6


def average(tensors) -> None:
    for tensor in tensors:
        distributed.all_reduce(tensor)
        tensor /= 2


def stage(bad=lambda step: 1.0) -> Stage:
    weight = nn.Parameter(torch.zeros(1))
    parameters = {"weight": weight}
    return Stage("pair", parameters, lambda number: (weight - 3).square().sum() * bad(number), parameters,
                 ema.copies(parameters))


def run(rank: int, path: Path, bad=lambda step: 1.0, steps: int = STEPS, stop_after: int | None = None, together=None):
    """Train as a process does; return how many steps it saw, and its last loss."""
    config = LoopConfig(steps=steps, learning_rate=1e-2, save_every=2)
    seen = []
    with closing(train(stage(bad), config, path, together or average, rank == 0)) as reports:
        for report in reports:
            seen.append(report.loss)
            if report.step == stop_after:
                raise KeyboardInterrupt
    return len(seen), round(seen[-1], 3) if seen else None


def raising(error: BaseException, at: int):
    def bad(step):
        if step == at:
            raise error
        return 1.0
    return bad


def all_is_well(rank, folder):
    return run(rank, folder / "s.pt", bad=lambda step: 1.0 + 2 * rank)


def nothing_is_left_to_do(rank, folder):
    run(rank, folder / "s.pt")
    distributed.barrier()
    return run(rank, folder / "s.pt")


def one_diverges(rank, folder):
    return run(rank, folder / "s.pt", bad=lambda step: 3.0**step if rank else 1.0, steps=300)


def one_has_a_loss_that_is_no_number(rank, folder):
    return run(rank, folder / "s.pt", bad=lambda step: float("nan") if rank and step == 3 else 1.0)


def one_has_no_memory(rank, folder):
    return run(rank, folder / "s.pt", bad=raising(torch.OutOfMemoryError("full"), 3) if rank else lambda step: 1.0)


def one_has_no_memory_in_the_last_step(rank, folder):
    return run(rank, folder / "s.pt", bad=raising(torch.OutOfMemoryError("full"), STEPS - 1) if rank
               else lambda step: 1.0)


def the_writer_is_interrupted_between_steps(rank, folder):
    return run(rank, folder / "s.pt", stop_after=None if rank else 3)


def the_other_is_interrupted_within_a_step(rank, folder):
    return run(rank, folder / "s.pt", bad=raising(KeyboardInterrupt(), 3) if rank else lambda step: 1.0)


def one_is_interrupted_after_the_last_step(rank, folder):
    return run(rank, folder / "s.pt", stop_after=STEPS if rank else None)


def one_refuses_its_checkpoint(rank, folder):
    if rank:
        (folder / "other.pt").write_bytes(b"no checkpoint")
    return run(rank, folder / ("other.pt" if rank else "s.pt"))


def they_see_different_checkpoints(rank, folder):
    if rank == 0:
        list(train(stage(), LoopConfig(steps=2, learning_rate=1e-2), folder / "s.pt"))
    return run(rank, folder / ("gone.pt" if rank else "s.pt"))


def the_writer_cannot_write(rank, folder):
    def save(*args):
        raise OSError("the disk is full")

    with mock.patch.object(checkpoints, "save", save):
        return run(rank, folder / "s.pt")


def one_fails_before_the_run(rank, folder):
    together = Together(average)

    def prepare():
        if rank:
            raise ValueError("no clips")

    together.all(prepare)
    return run(rank, folder / "s.pt", together=together)


def one_fails_while_the_other_begins(rank, folder):
    """As where the memory of one GPU is not enough."""
    together = Together(average)
    if rank:
        error = MemoryError("too much")
        together.leave(error)
        raise error
    return run(rank, folder / "s.pt", together=together)


def ctrl_c_reaches_one_alone(rank, folder):
    with interrupts_noted() as noted, closing(train(
            stage(), LoopConfig(steps=STEPS, learning_rate=1e-2), folder / "s.pt", average, rank == 0)) as reports:
        for report in reports:
            if rank and report.step == 3:
                os.kill(os.getpid(), signal.SIGINT)
            if noted:
                raise KeyboardInterrupt
    return None


CASES = [all_is_well, nothing_is_left_to_do, one_diverges, one_has_a_loss_that_is_no_number, one_has_no_memory,
         one_has_no_memory_in_the_last_step, the_writer_is_interrupted_between_steps,
         the_other_is_interrupted_within_a_step, one_is_interrupted_after_the_last_step, one_refuses_its_checkpoint,
         they_see_different_checkpoints, the_writer_cannot_write, one_fails_before_the_run,
         one_fails_while_the_other_begins, ctrl_c_reaches_one_alone]


def main() -> None:
    rank, base = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=(base / "meeting").as_uri(), rank=rank, world_size=2,
                                   timeout=timedelta(seconds=20))
    for case in CASES:
        folder = base / case.__name__
        folder.mkdir(exist_ok=True)
        try:
            ended = case(rank, folder)
        except BaseException as reason:
            ended = type(reason).__name__
        print(json.dumps({"case": case.__name__, "ended": ended}), flush=True)
        distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()

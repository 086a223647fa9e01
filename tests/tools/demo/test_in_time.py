"""A stage goes on for its minutes and is finished, also where an earlier sitting finished it before."""

import torch
from animatelcm.tools.demo.in_time import Part, go_on_and_finish
from animatelcm.tools.demo.latent_cache import whole
from animatelcm.tools.demo.sessions import run, stage_of
from animatelcm.training.checkpoints import load
from torch import nn


def train(plan, entries, sitting, device):
    layer = nn.Linear(2, 1)
    stage = stage_of("tiny", layer, lambda step: layer(torch.ones(1, 2)).square().mean(), {}, plan)
    return run(stage, plan.config(), plan.folder / f"{stage.name}.pt", sitting, lambda step: None, lambda line: None)


def test_a_stage_goes_on_and_is_finished_each_time(tmp_path):
    def steps(name):
        return load(tmp_path / f"{name}.pt", torch.device("cpu"))["step"]

    part, device = Part("tiny", train, (1, 0.01), 64, 0.0005), torch.device("cpu")
    go_on_and_finish(part, tmp_path, 0, device)
    first, finish = steps("tiny"), steps("tiny-finish")
    assert finish == max(1, first // 4)
    go_on_and_finish(part, tmp_path, 0, device)
    assert steps("tiny") > first and steps("tiny-finish") == max(1, (steps("tiny") - first) // 4)


def test_entries_make_whole_blocks():
    assert [whole(count) for count in (1, 64, 200, 204_800)] == [64, 64, 192, 204_800]

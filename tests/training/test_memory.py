"""The memory estimate against what passes really hold."""

from dataclasses import replace

import pytest
import torch
from animatelcm.tests.training import toys
from animatelcm.training.config import LoopConfig
from animatelcm.training.draws import Examples
from animatelcm.training.memory import GIB, Estimate, _Peak, activations, estimate
from animatelcm.training.stages import motion_stage
from torch import nn
from torch.utils.checkpoint import checkpoint

CONFIG = LoopConfig(steps=1, learning_rate=1e-3)


class Chain(nn.Module):
    """Blocks of four layers, with or without gradient checkpointing."""

    def __init__(self, blocks, again):
        super().__init__()
        self.again = again
        def block():
            return nn.Sequential(*(layer for _ in range(4) for layer in (nn.Linear(16, 16), nn.Tanh())))
        self.blocks = nn.ModuleList(block() for _ in range(blocks))

    def forward(self, z, timesteps, context):
        for block in self.blocks:
            z = checkpoint(block, z, use_reentrant=False) if self.again else block(z)
        return z


def measured(blocks, again, rows=4096, precision="float32"):
    examples = Examples(torch.zeros(rows, 16), torch.zeros(rows, 1, 1))
    return activations(Chain(blocks, again), examples, LoopConfig(steps=1, learning_rate=1e-3, precision=precision))


def test_every_layer_keeps_its_output_for_the_way_back():
    one = 4096 * 16 * 4
    # A block has eight layers, of which the tanh keeps its output and the linear layer its input.
    assert measured(8, again=False) - measured(4, again=False) == pytest.approx(4 * 4 * one, rel=0.02)


def test_with_checkpointing_a_block_keeps_its_input_alone():
    one = 4096 * 16 * 4
    assert measured(8, again=True) - measured(4, again=True) == pytest.approx(4 * one, rel=0.02)


class Frozen(nn.Module):
    """A wide layer of which only the bias is trained."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(512, 512)
        self.layer.weight.requires_grad_(False)

    def forward(self, z, timesteps, context):
        return self.layer(z)


def test_weights_that_layers_read_are_no_activations():
    found = activations(Frozen(), Examples(torch.zeros(2, 512), torch.zeros(2, 1, 1)), CONFIG)
    assert found < 0.05 * 512 * 512 * 4


def test_it_grows_with_the_batch_and_shrinks_with_the_precision():
    assert measured(4, False, rows=8192) == pytest.approx(2 * measured(4, False), rel=0.05)
    assert measured(4, False, precision="bfloat16") < 0.8 * measured(4, False)


def test_gradients_of_earlier_batches_are_there_with_the_activations_of_later_ones():
    chain = Chain(4, again=False)
    examples = Examples(torch.zeros(4096, 16), torch.zeros(4096, 1, 1))
    one, many = (activations(chain, examples, replace(CONFIG, accumulation=count)) for count in (1, 4))
    assert many - one == pytest.approx(sum(p.numel() * 4 for p in chain.parameters()), rel=0.1)


def test_the_parts_of_a_stage_add_up():
    setting = toys.setting("motion")
    stage = motion_stage(setting)
    found = estimate(stage, setting.model, setting.source(0), CONFIG)
    motion = 4 * (16 + 4)
    lora = sum(p.numel() * 4 for name, p in setting.model.named_parameters() if ".up." in name or ".down." in name)
    assert found.weights == sum(p.numel() * 4 for p in setting.model.parameters())
    assert (found.gradients, found.optimiser) == (motion, 2 * motion)
    assert found.copies == motion + lora + motion, "target's, and teacher's, which has no LoRA"
    assert found.activations > 0


class Wide(nn.Module):
    """A motion module that keeps much more than the latents take."""

    def __init__(self):
        super().__init__()
        self.motion = nn.Sequential(nn.Linear(16, 512), *(layer for _ in range(6) for layer in (
            nn.Tanh(), nn.Linear(512, 512))), nn.Tanh(), nn.Linear(512, 16))

    def forward(self, z, timesteps, context):
        return self.motion(z)


@pytest.mark.parametrize("terms", [{}, {"phases": 4, "target": "student", "own_samples": 1.0, "motion_weight": 1.0,
                                        "empty_captions": 0.5, "w_min": 0.0, "w_max": 0.0}])
def test_a_whole_loss_holds_no_more_than_was_estimated_whatever_its_terms(terms):
    """Passes without a gradient, of which own samples have more, need less than the student's; terms are latents."""
    setting = toys.setting("motion", lora=False, init="none", **terms)
    clips = Examples(torch.randn(1, 8, 32, 16, 16), torch.randn(1, 2, 3))
    setting = replace(setting, model=Wide(), source=lambda number: clips)
    stage = motion_stage(setting)
    found = estimate(stage, setting.model, clips, CONFIG)
    held = [*setting.model.parameters(), *stage.average.values(), *stage.teacher.values(), clips.latents, clips.context]
    with _Peak(held) as peak:
        stage.loss(0).backward()
    assert 0.8 * peak.most < found.activations + found.gradients
    assert peak.most < 1.1 * (found.activations + found.gradients)


def test_what_does_not_fit_is_refused_with_the_numbers():
    needs = Estimate(2 * GIB, GIB, 3 * GIB, 6 * GIB, 8 * GIB)
    needs.check(int(17.5 * GIB))
    with pytest.raises(MemoryError, match=r"about 20.5 GiB \(weights 2.0, copies 1.0, gradients 3.0, optimiser 6.0, "
                                          r"activations 8.0, other 0.5\); 17.5 GiB of these are still to come, and "
                                          r"17.0 GiB are"):
        needs.check(17 * GIB)

"""Several base models in turn: which batch gets which, exactly, and the way back too."""

import pytest
import torch
from animatelcm.tests.training import toys
from animatelcm.training.bases import bases_of
from animatelcm.training.config import LoopConfig
from animatelcm.training.loop import train
from animatelcm.training.stages import motion_stage
from torch import nn
from torch.utils.checkpoint import checkpoint


def own_weights(model):
    return dict(model.unet.named_parameters())


def styles(model, count=2):
    """Return further weights: one layer that all change, and one that each changes alone."""
    found = []
    for index in range(count):
        weights = {name: p.detach().clone() for name, p in own_weights(model).items()}
        for name in ("conv.weight", ("attend.weight", "last.weight")[index % 2]):
            weights[name] += 0.3 * torch.randn(weights[name].shape, generator=torch.Generator().manual_seed(index))
        found.append(weights)
    return found


def setting(seed=0, count=2, **changes):
    made = toys.setting("motion", lora=False, init="none", **changes)
    given = styles(made.model, count)
    object.__setattr__(made, "bases", bases_of(own_weights(made.model), given, seed) if count else None)
    return made, given


def test_every_base_has_its_batches_by_their_numbers_alone():
    made, _ = setting()
    chosen = [made.bases.index_of(number) for number in range(3000)]
    assert chosen == [made.bases.index_of(number) for number in range(3000)]
    assert all(chosen.count(index) == pytest.approx(1000, abs=100) for index in range(3))
    other, _ = setting(seed=1)
    assert chosen != [other.bases.index_of(number) for number in range(3000)]


def test_a_base_is_put_in_and_taken_out_bit_for_bit():
    made, given = setting()
    parameters = own_weights(made.model)
    before = {name: p.detach().clone() for name, p in parameters.items()}
    for index in (1, 2, 0, 2, 0):
        made.bases.use(index)
        wanted = before if index == 0 else given[index - 1]
        assert all(torch.equal(p, wanted[name]) for name, p in parameters.items())
        assert own_weights(made.model) == parameters, "the parameters are the same objects"
    # What is the same in all of them waits nowhere.
    assert {id(p) for p, _ in made.bases.weights[0]} == {
        id(parameters[name]) for name in ("conv.weight", "attend.weight", "last.weight")}


def test_a_batch_is_trained_on_its_base_as_if_that_were_the_model():
    made, given = setting()
    stage = motion_stage(made)
    for number in range(8):
        loss = stage.loss(number)
        loss.backward()
        alone, _ = setting(count=0)
        if index := made.bases.index_of(number):
            alone.model.unet.load_state_dict(given[index - 1])
        own = motion_stage(alone)
        expected = own.loss(number)
        expected.backward()
        assert torch.equal(loss, expected)
        for mine, theirs in zip(stage.parameters.values(), own.parameters.values(), strict=True):
            assert torch.equal(mine.grad, theirs.grad)
            mine.grad = None


def test_a_way_back_that_computes_again_finds_the_same_base():
    """As with gradient checkpointing: the UNet runs once more when the loss is known already."""
    class Again(nn.Module):
        def __init__(self, unet):
            super().__init__()
            self.inner = unet

        def forward(self, z, context):
            return checkpoint(self.inner, z, context, use_reentrant=False)

    gradients = []
    for again in (False, True):
        made, _ = setting(seed=4)
        if again:
            made.model.unet = Again(made.model.unet)
        stage = motion_stage(made)
        assert {made.bases.index_of(number) for number in range(6)} == {0, 1, 2}
        for number in range(6):
            stage.loss(number).backward()
        gradients.append([p.grad for p in stage.parameters.values()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_a_run_on_several_bases_goes_on_bit_for_bit(tmp_path):
    def run(path, steps):
        made, _ = setting(seed=2)
        loop = LoopConfig(steps=steps, learning_rate=1e-2, save_every=3)
        stage = motion_stage(made)
        return [report.loss for report in train(stage, loop, path)], stage.parameters

    losses, whole = run(tmp_path / "whole.pt", 6)
    first, _ = run(tmp_path / "cut.pt", 3)
    rest, resumed = run(tmp_path / "cut.pt", 6)
    assert first + rest == losses and all(torch.equal(p, whole[name]) for name, p in resumed.items())


@pytest.mark.parametrize(("change", "said"), [
    (lambda weights: {**weights, "conv.weight": torch.zeros(1, 2)}, "base 1 is of another kind than the MODEL"),
    (lambda weights: {**weights, "other.weight": torch.zeros(1)}, "other.weight does not fit"),
    (lambda weights: {**weights, "conv.weight": weights["conv.weight"] / 0}, "holds nan or infinite numbers"),
])
def test_what_is_no_base_is_named(change, said):
    model = toys.Model()
    with pytest.raises(ValueError, match=said):
        bases_of(own_weights(model), [change(styles(model)[0])], 0)


def test_a_base_that_changes_nothing_is_named():
    model = toys.Model()
    with pytest.raises(ValueError, match="base 1 changes no weight of the MODEL"):
        bases_of(own_weights(model), [{name: p.detach().clone() for name, p in own_weights(model).items()}], 0)

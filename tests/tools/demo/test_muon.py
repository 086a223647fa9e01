"""Muon's update has singular values that are all alike, and everything else moves as with AdamW."""

import pytest
import torch
from animatelcm.tools.demo.muon import Muon, muon, orthogonal
from animatelcm.training.config import LoopConfig
from torch import nn


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (24, 24)])
def test_singular_values_become_alike(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape) * 1e-3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(matrix)
    assert torch.linalg.svdvals(found).sub(1).abs().max() < 0.6
    # It is the polar factor that it comes near to, not just any orthogonal matrix.
    assert (found * (left @ right)).sum() / (found.norm() * (left @ right).norm()) > 0.95


def test_what_is_no_matrix_moves_as_with_adamw():
    torch.manual_seed(0)
    own, other = (nn.Parameter(torch.ones(5)) for _ in range(2))
    optimisers = [Muon([], [own], 0.01, weight_decay=0.1),
                  torch.optim.AdamW([other], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)]
    for _ in range(4):
        own.grad = torch.randn(5)
        other.grad = own.grad.clone()
        for optimiser in optimisers:
            optimiser.step()
    assert torch.allclose(own, other, atol=1e-6)


def test_a_matrix_moves_as_far_as_with_adamw():
    torch.manual_seed(0)
    for shape in ((32, 8, 3, 3), (8, 64)):
        weight = nn.Parameter(torch.zeros(shape))
        weight.grad = torch.randn(shape)
        Muon([weight], [], 1.0).step()
        assert weight.detach().square().mean().sqrt() == pytest.approx(0.2, rel=0.3)


def test_embeddings_and_edges_are_left_to_adamw():
    network = nn.ModuleDict({"input_blocks": nn.ModuleList([nn.ModuleList([nn.Conv2d(4, 8, 3)])]),
                             "token_embedding": nn.Embedding(5, 8), "middle": nn.Linear(8, 8)})
    matrices, others = (group["params"] for group in muon(network, LoopConfig(1, 0.1)).param_groups)
    assert matrices == [network["middle"].weight]
    assert len(others) == 4


def test_a_weight_without_a_gradient_stays():
    weight = nn.Parameter(torch.ones(2, 2))
    Muon([weight], [], 0.1).step()
    assert torch.equal(weight, torch.ones(2, 2))

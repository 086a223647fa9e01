"""How much memory a training step needs, worked out before the first one."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from .config import LoopConfig
from .draws import Examples
from .trainer import Stage, autocast

CPU = torch.device("cpu")
GIB = 2**30
OTHER = GIB // 2
"""What kernels and the allocator take beside all tensors, at most: at the size of Stable Diffusion 1.5 0.3 to 0.45 GiB
on a CPU, and 0.1 to 0.2 on a GPU."""


@dataclass(frozen=True)
class Estimate:
    """Bytes of each kind."""

    weights: int
    """Of the network, frozen or trained."""
    copies: int
    """Of the target, and of the teacher where its weights are others than the student's."""
    gradients: int
    optimiser: int
    """AdamW's two moments of every trained weight."""
    activations: int
    """What the passes hold at the worst moment, beyond the gradients."""

    @property
    def total(self) -> int:
        return self.weights + self.copies + self.to_come

    @property
    def to_come(self) -> int:
        """What is not held yet before the first step."""
        return self.gradients + self.optimiser + self.activations + OTHER

    def check(self, free: int) -> None:
        """Check that what is still to come fits.

        Raises:
            MemoryError: It does not; the message has the numbers.
        """
        if self.to_come > free:
            raise MemoryError(f"{self}; {self.to_come / GIB:.1f} GiB of these are still to come, and "
                              f"{free / GIB:.1f} GiB are free. Choose a smaller preset, fewer frames or smaller images")

    def __str__(self) -> str:
        kinds = ("weights", "copies", "gradients", "optimiser", "activations")
        parts = ", ".join(f"{kind} {getattr(self, kind) / GIB:.1f}" for kind in kinds)
        return f"training needs about {self.total / GIB:.1f} GiB ({parts}, other {OTHER / GIB:.1f})"


def estimate(stage: Stage, model: nn.Module, examples: Examples, config: LoopConfig) -> Estimate:
    """Work out what a step of the stage needs on batches like `examples`.

    Activations are those of the student's passes, in which target and teacher, without gradients, need less.
    """
    trained = _bytes(stage.parameters.values())
    return Estimate(
        weights=_bytes(model.parameters()), copies=_bytes(stage.average.values()) + _bytes(stage.teacher.values()),
        gradients=trained, optimiser=2 * trained, activations=activations(model, examples, config))


def activations(model: nn.Module, examples: Examples, config: LoopConfig) -> int:
    """Return the most bytes that the passes of a step hold, beside weights and gradients.

    The passes run on tensors that have a shape and no content, so it takes no memory and little time.
    """
    with FakeTensorMode():
        def ghost(tensor: Tensor) -> Tensor:
            return torch.empty(tensor.shape, dtype=tensor.dtype)

        # A deep copy takes these in place of the weights.
        stand_ins = {id(p): nn.Parameter(ghost(p), p.requires_grad) for p in model.parameters()}
        network = copy.deepcopy(model, stand_ins | {id(buffer): ghost(buffer) for buffer in model.buffers()})
        z, context = ghost(examples.latents), ghost(examples.context)
        conditions = {name: ghost(condition) for name, condition in examples.conditions.items()}
        timesteps = torch.zeros(len(z), dtype=torch.int64)
        trained = [p for p in network.parameters() if p.requires_grad]
        if config.accumulation > 1:
            # From the second batch of a step on, gradients are there before the activations are.
            for parameter in trained:
                parameter.grad = torch.empty_like(parameter)
        held = [*network.parameters(), *network.buffers(), *(p.grad for p in trained if p.grad is not None),
                z, timesteps, context, *conditions.values()]
        with _Peak(held) as peak, torch.enable_grad():
            with autocast(config, CPU):
                loss = network(z, timesteps, context, **conditions).float().square().mean()
            loss.backward()
    return peak.most if config.accumulation > 1 else max(0, peak.most - _bytes(trained))


class _Peak(TorchDispatchMode):
    """Counts the bytes of all tensors that are made within it, and forgets those that die.

    Args:
        held: Tensors that are there already, so that a view of one is not counted as new.
    """

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = self.most = 0
        # Known by their Python objects, which have to live as long.
        self.held = [tensor.untyped_storage() for tensor in held]
        self.alive = WeakIdKeyDictionary(dict.fromkeys(self.held, True))

    def __torch_dispatch__(self, func: Callable, types: tuple[type, ...], args: tuple = (), kwargs: dict | None = None
                           ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self.alive:
            return
        size = storage.nbytes()
        self.alive[storage] = True
        weakref.finalize(storage, self._forget, size)
        self.now += size
        self.most = max(self.most, self.now)

    def _forget(self, size: int) -> None:
        self.now -= size


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

"""A second device on a machine that has one: tensors that say they are elsewhere, and meet no others."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

ELSEWHERE = torch.device("xpu:0")
"""The tests' machines have no such device; nothing is put there."""


class Elsewhere(Tensor):
    """A tensor in main memory that stands for one on ELSEWHERE."""


class TwoDevices(TorchFunctionMode):
    """Within it tensors can be moved to ELSEWHERE and back, and an operation on tensors of both fails as on a GPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Run an operation, on the device of its tensors."""
        kwargs = kwargs or {}
        if func == Tensor.device.__get__:
            return ELSEWHERE if isinstance(args[0], Elsewhere) else torch.device("cpu")
        if func in (Tensor.to, Tensor.cpu):
            return _moved(func, *args, **kwargs)
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        there = [isinstance(each, Elsewhere) for each in tensors]
        # As on a GPU, a number that is a tensor may be anywhere.
        if any(there) and any(not far and each.ndim for far, each in zip(there, tensors, strict=True)):
            raise RuntimeError(f"{func.__name__}: expected all tensors to be on the same device")
        if kwargs.get("device") == ELSEWHERE:
            return func(*args, **kwargs | {"device": "cpu"}).as_subclass(Elsewhere)
        return func(*args, **kwargs)


def elsewhere(tensor: Tensor) -> Tensor:
    """Return a tensor as one on ELSEWHERE."""
    return tensor.as_subclass(Elsewhere)


def _moved(func, tensor: Tensor, *where, **kwargs) -> Tensor:
    targets = [*where, *kwargs.values()]
    there = isinstance(tensor, Elsewhere) and func is Tensor.to
    for target in targets:
        if isinstance(target, Tensor):
            there = isinstance(target, Elsewhere)
        elif isinstance(target, torch.device | str):
            there = torch.device(target) == ELSEWHERE
    plain = tensor.as_subclass(Tensor)
    for target in targets:
        if isinstance(target, torch.dtype | Tensor):
            plain = plain.to(target.dtype if isinstance(target, Tensor) else target)
    return elsewhere(plain) if there else plain

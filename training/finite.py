"""Numbers that are none: found before a run starts from them, and named."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import torch
from torch import Tensor, nn

PARTS = {"unet": "the MODEL's UNet", "motion": "the motion module", "encoder": "the image encoder",
         "control": "the ControlNet"}
"""What the first part of a parameter's name stands for, to the user."""
LORA = (".down.weight", ".up.weight")


def is_finite(tensor: Tensor) -> bool:
    """Return whether no number is nan or infinite."""
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether no number of any of the tensors is nan or infinite."""
    return all(is_finite(tensor) for tensor in tensors)


def check_parameters(network: nn.Module) -> None:
    """Check that a training starts from numbers.

    Raises:
        ValueError: Some of the network's are nan or infinite; the message says in which part.
    """
    held = chain(network.named_parameters(), network.named_buffers())
    bad = [name for name, tensor in held if not is_finite(tensor)]
    if bad:
        part = "the LoRA" if bad[0].endswith(LORA) else PARTS.get(bad[0].partition(".")[0], "the network")
        raise ValueError(f"{part} has {len(bad)} tensors with nan or infinite numbers, such as {bad[0]}, from which "
                         "nothing can be trained. Its file is damaged, or its numbers are too large for float16: load "
                         "another file, or train in bfloat16 or float32")

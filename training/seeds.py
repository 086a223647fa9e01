"""Random numbers of torch's own initialisers, from a seed, without a trace in anyone else's."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Generator[None, None, None]:
    """Let what draws from torch's global generator of the CPU draw from a seed; afterwards that one is as it was.

    The generators of GPUs are neither read nor written: `torch.manual_seed` would set them for the whole process. What
    is drawn here has to be drawn on the CPU, and is then the same for every device.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield

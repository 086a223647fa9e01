"""What a training of the host asks of its data, wherever they come from."""

from __future__ import annotations

from typing import Protocol

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...training.config import TrainingConfig
from ...training.draws import Source
from ...training.origin import Origin


class Data(Protocol):
    """Images or clips with their captions."""

    def source(self, model: ModelPatcher, config: TrainingConfig, device: torch.device) -> Source:
        """Return the batches of a run.

        Raises:
            ValueError: The data do not go together, or with the MODEL.
        """
        ...

    def empty(self) -> Tensor:
        """Return the encoded empty caption, 1 n d."""
        ...

    def origin(self) -> Origin:
        """Return what the batches of a run are made from."""
        ...

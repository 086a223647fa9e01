"""The layers that motion weights live in: the host's casting operations, with a faster matrix product on the CPU."""

from __future__ import annotations

import comfy.ops
import torch
from torch import Tensor

onednn_linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
"""oneDNN's linear layer, where this build of torch has it."""


class operations(comfy.ops.manual_cast):  # noqa: N801 - named as the host names its sets of layers
    """The host's `manual_cast`: weights are cast as they are used, so any storage type and offloading work."""

    class Linear(comfy.ops.manual_cast.Linear):
        def forward(self, x: Tensor) -> Tensor:
            """Return x W^T + b.

            torch multiplies float32 matrices on the CPU with MKL, which runs at half speed on processors of other
            makers than Intel; its convolutions use oneDNN, which does not. So does this, where nothing has to be cast.
            """
            if onednn_linear is not None and self._is_plain(x):
                return onednn_linear(x, self.weight, self.bias, "none", [], "")
            return super().forward(x)

        def _is_plain(self, x: Tensor) -> bool:
            """Whether the layer is a float32 matrix in main memory, with no patch to apply and no gradient to keep."""
            return (x.device.type == "cpu" and x.dtype == torch.float32
                    and self.weight is not None and self.weight.dtype == torch.float32
                    and self.weight.device.type == "cpu"
                    and not self.weight_function and not self.bias_function
                    and not torch.is_grad_enabled() and not torch.compiler.is_compiling())

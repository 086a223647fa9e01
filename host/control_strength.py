"""A ControlNet or T2I-Adapter whose strength differs from frame to frame."""

from __future__ import annotations

from typing import Any

import torch
from comfy.controlnet import ControlBase
from torch import Tensor

from .controls import Factor
from .frame_noise import INNER


class ControlOverFrames(ControlBase):
    """A control that runs another one, whatever its class is, and multiplies what it gives.

    What nodes set on a control goes to the inner one. The chain of controls goes through this one, so that only the
    inner one's own part is multiplied.
    """

    def __init__(self, inner: ControlBase, strength: Factor) -> None:
        super().__init__()
        setattr(self, INNER, inner)
        self.frame_strength = strength
        # Read by the host's node for inpainting.
        self.concat_mask = inner.concat_mask

    @property
    def inner(self) -> ControlBase:
        """The control that is run."""
        return getattr(self, INNER)

    def set_cond_hint(self, *args: Any, **kwargs: Any) -> ControlOverFrames:
        """Give the inner control its hint, strength and range."""
        self.inner.set_cond_hint(*args, **kwargs)
        return self

    def set_extra_arg(self, argument: str, value: Any = None) -> None:
        """Give the inner control an argument, such as a union's type."""
        self.inner.set_extra_arg(argument, value)

    def check(self, num_frames: int) -> None:
        """Check that the strength belongs to a video of so many frames.

        Raises:
            ValueError: It does not.
        """
        self.frame_strength.check(num_frames)

    def get_control(self, x_noisy: Tensor, t: Tensor, cond: dict, batched_number: int, transformer_options: dict
                    ) -> dict[str, list[Tensor | None]] | None:
        """Return what the chain up to here adds to the UNet's features."""
        previous = None
        if self.previous_controlnet is not None:
            previous = self.previous_controlnet.get_control(x_noisy, t, cond, batched_number, transformer_options)
        own = self.inner.get_control(x_noisy, t, cond, batched_number, transformer_options)
        if own is None:
            return previous
        frames = len(x_noisy) // batched_number
        strength = torch.as_tensor(self.frame_strength.in_call(x_noisy, frames, transformer_options))
        # The same for each clip: f 1 1 1 -> (b f) 1 1 1.
        of_batch = strength.expand(frames, 1, 1, 1).repeat(batched_number, 1, 1, 1)
        multiplied = {name: [None if each is None else each * of_batch.to(each) for each in features]
                      for name, features in own.items()}
        return self.control_merge(multiplied, previous, output_dtype=None)

    def copy(self) -> ControlOverFrames:
        """Return a copy with a copy of the inner control."""
        return self._around(self.inner.copy())

    def deepclone_multigpu(self, load_device: torch.device, autoregister: bool = False) -> ControlOverFrames:
        """Return a copy for another GPU."""
        clone = self._around(self.inner.deepclone_multigpu(load_device))
        if autoregister:
            self.multigpu_clones[load_device] = clone
        return clone

    def _around(self, inner: ControlBase) -> ControlOverFrames:
        copied = ControlOverFrames(inner, self.frame_strength)
        self.copy_to(copied)
        return copied

    # What the host asks of each control of a chain.

    def pre_run(self, model: Any, percent_to_timestep_function: Any) -> None:
        """Begin a run."""
        super().pre_run(model, percent_to_timestep_function)
        self.inner.pre_run(model, percent_to_timestep_function)

    def cleanup(self) -> None:
        """End a run."""
        super().cleanup()
        self.inner.cleanup()

    def get_models(self) -> list:
        """Return what the host has to load."""
        return [*super().get_models(), *self.inner.get_models()]

    def get_extra_hooks(self) -> list:
        """Return the hooks of the chain."""
        return [*super().get_extra_hooks(), *self.inner.get_extra_hooks()]

    def inference_memory_requirements(self, dtype: torch.dtype) -> float:
        """Return the bytes that the chain needs."""
        return super().inference_memory_requirements(dtype) + self.inner.inference_memory_requirements(dtype)


def with_frame_strength(control: ControlBase, strength: Factor) -> ControlOverFrames:
    """Return a copy of a control whose strength differs from frame to frame.

    Args:
        strength: Multiplies the strength that Apply ControlNet sets.
    """
    return ControlOverFrames(control.copy(), strength)

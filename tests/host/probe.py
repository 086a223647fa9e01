"""A UNet that only notes which frames it is called with, and beside them everything that should belong to those.

Frames carry their number as a ratio of two latent pixels, which no scaling of the sampler changes; and since the UNet
finds no noise, every step hands the same frames to the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import comfy.sample
import pytest
import torch
from comfy.controlnet import ControlNet, T2IAdapter
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ..support import CONTEXT_DIM, conditioning

HOSTS = ["standard_static", "standard_uniform", "looped_uniform", "batched"]
"""The host's schedules of windows."""
FUSE = ["pyramid", "relative", "flat", "overlap-linear"]
"""Its ways to blend them."""
TOTAL, LENGTH, OVERLAP, STEPS = 37, 8, 3, 4
"""Frames of a video, of a window and shared by two, and steps, in tests of whole schedules."""
SETTINGS = [{"schedule": schedule, "causal": causal, "stride": stride}
            for schedule in HOSTS for causal in (False, True) for stride in (1, 2)
            if stride == 1 or "uniform" in schedule]
every_schedule = pytest.mark.parametrize(
    "windowed", SETTINGS, indirect=True, ids=lambda setting: "-".join(map(str, setting.values())))
"""Runs a test with the fixture `windowed` in each of the host's schedules."""


def frames(count: int, channels: int, size: int) -> Tensor:
    """Return frames f c h w that carry their number."""
    marked = torch.ones(count, channels, size, size)
    marked[:, :, :, :size // 2] += torch.arange(count).view(-1, 1, 1, 1)
    return marked


def numbers(given: Tensor) -> list[int]:
    """Return the numbers that frames carry."""
    return [round(number) for number in (given[:, 0, 0, 0] / given[:, 0, 0, -1] - 1).tolist()]


def prompts(count: int, tokens: int = 5) -> list:
    """Return a CONDITIONING with a prompt for each frame, which says the frame's number."""
    return [[torch.arange(count).float().view(-1, 1, 1).expand(count, tokens, CONTEXT_DIM).contiguous(), {}]]


@dataclass
class Probe:
    """What the UNet was called with: in each list an entry for each call."""

    frames: list[list[int]] = field(default_factory=list)
    contexts: list[list[int]] = field(default_factory=list)
    """The prompts' numbers."""
    options: list[dict] = field(default_factory=list)

    def on(self, model: ModelPatcher) -> ModelPatcher:
        """Return a clone of the MODEL with this in place of its UNet."""
        clone = model.clone()
        clone.add_wrapper(WrappersMP.DIFFUSION_MODEL, self._call)
        return clone

    def _call(self, executor, x, timesteps, context, y=None, control=None, transformer_options=None, **kwargs):
        self.frames.append(numbers(x))
        self.contexts.append([round(number) for number in context[:, 0, 0].tolist()])
        self.options.append(transformer_options)
        return torch.zeros_like(x)


class HintProbe(nn.Module):
    """In the place of a control's network: notes which frames it is called with, and which hints."""

    dtype = torch.float32
    unshuffle_amount = 8

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[list[int]] = []
        self.hints: list[list[int]] = []
        self.timesteps: list[float] = []
        self.types: list[list[int]] = []

    def forward(self, x: Tensor, hint: Tensor | None = None, timesteps: Tensor | None = None,
                control_type: list[int] | None = None, **kwargs) -> dict:
        """Note what a ControlNet is given, or a T2I-Adapter, which has no frames but only hints."""
        if hint is None:
            x, hint = torch.zeros(0, 1, 1, 2), x
        else:
            self.timesteps.append(timesteps[0].item())
            self.types.append(control_type)
        self.frames.append(numbers(x))
        self.hints.append(numbers(hint))
        return {"input": [], "middle": [], "output": []}


def control_net(network: nn.Module) -> ControlNet:
    """Return a CONTROL_NET of the host around a network."""
    device = torch.device("cpu")
    return ControlNet(network, load_device=device)


def t2i_adapter(network: nn.Module) -> T2IAdapter:
    """Return a CONTROL_NET of the host around an adapter."""
    return T2IAdapter(network, 3, 8, "nearest-exact", device=torch.device("cpu"))


def sample(model: ModelPatcher, num_frames: int, positive: list | None = None, negative: list | None = None,
           steps: int = 4, cfg: float = 1.5, seed: int = 0) -> Tensor:
    """Sample numbered frames."""
    noise = frames(num_frames, 4, 8)
    with torch.inference_mode():
        return comfy.sample.sample(
            model, noise, steps, cfg, "euler", "simple", positive or conditioning(1), negative or conditioning(2),
            torch.zeros_like(noise), disable_pbar=True, seed=seed)

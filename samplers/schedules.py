"""Noise schedules and the timesteps of a few-step run (Wang et al. 2024; Luo et al. 2023 for the distillation grid).

SCHEDULES names the published ones. "linear" means that beta itself is linear in the timestep, "scaled_linear" that its
square root is, as in diffusers. Beware: ComfyUI calls the second one "linear" and the first one "sqrt_linear".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

NUM_TIMESTEPS = 1000
"""Training timesteps of Stable Diffusion 1.5 and of everything distilled from it."""

BETA_SCHEDULES = ("linear", "scaled_linear")


def _check_original_steps(original_steps: int) -> None:
    if original_steps < 1 or NUM_TIMESTEPS % original_steps:
        raise ValueError(f"original_steps is {original_steps}; expected a divisor of {NUM_TIMESTEPS}, such as 100")


@dataclass(frozen=True)
class Schedule:
    """How much noise each training timestep carries, and which timesteps a distilled network knows."""

    beta_schedule: str
    """What is linear in the timestep: "linear" beta itself, "scaled_linear" its square root."""
    beta_start: float
    """Beta at timestep 0."""
    beta_end: float
    """Beta at timestep 999."""
    original_steps: int | None = None
    """Timesteps in the distillation grid; None for a network that was not distilled and knows all of them."""
    phases: int = 1
    """Parts of the timesteps that a phased network jumps through one by one; 1: it jumps to the clean latent."""

    def __post_init__(self) -> None:
        if self.beta_schedule not in BETA_SCHEDULES:
            raise ValueError(f"beta_schedule is {self.beta_schedule!r}; expected one of {', '.join(BETA_SCHEDULES)}")
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise ValueError(f"betas run from {self.beta_start} to {self.beta_end}; expected 0 < start <= end < 1")
        if self.original_steps is not None:
            _check_original_steps(self.original_steps)
        if self.phases != 1:
            phase_edges(self.original_steps or NUM_TIMESTEPS, self.phases)

    @property
    def spacing(self) -> int:
        """Distance between neighbours of the distillation grid, in timesteps."""
        return NUM_TIMESTEPS // (self.original_steps or NUM_TIMESTEPS)


SCHEDULES: dict[str, Schedule] = {
    "AnimateLCM text-to-video": Schedule("linear", 0.00085, 0.012, original_steps=100),
    "AnimateLCM image-to-video": Schedule("linear", 0.00085, 0.014, original_steps=200),
    "AnimateDiff": Schedule("linear", 0.00085, 0.012),
    "Stable Diffusion 1.5": Schedule("scaled_linear", 0.00085, 0.012),
    "LCM": Schedule("scaled_linear", 0.00085, 0.012, original_steps=50),
}


def alphas_cumprod(schedule: Schedule) -> Tensor:
    """Return the share of signal variance left at every timestep (DDPM, Ho et al. 2020): shape (1000,), float64."""
    power = 1.0 if schedule.beta_schedule == "linear" else 0.5
    roots = torch.linspace(schedule.beta_start**power, schedule.beta_end**power, NUM_TIMESTEPS, dtype=torch.float64)
    return torch.cumprod(1 - roots ** (1 / power), dim=0)


def sigmas(schedule: Schedule) -> Tensor:
    """Return the noise level sqrt((1 - a) / a) of every timestep, in the scale x = x0 + sigma eps: (1000,), float32."""
    a = alphas_cumprod(schedule)
    return ((1 - a) / a).sqrt().float()


def grid(schedule: Schedule) -> Tensor:
    """Return the timesteps that the network knows, ascending: s-1, 2s-1, ..., 999 for spacing s; int64."""
    return torch.arange(schedule.spacing - 1, NUM_TIMESTEPS, schedule.spacing)


def spaced_indices(length: int, steps: int, denoise: float = 1.0) -> list[int]:
    """Return which entries of a table a run visits, counted from the noisiest one.

    floor(linspace(0, length, steps, endpoint=False)) (diffusers, LCMScheduler); the host's "simple" scheduler counts so
    too. Below a denoise of 1 this is the host's rule: space int(steps / denoise) of them and run the last `steps`.

    Raises:
        ValueError: The table has fewer entries than that, there is less than one step, or denoise is not in (0, 1].
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; expected 1 or more")
    if not 0 < denoise <= 1:
        raise ValueError(f"denoise is {denoise}; expected more than 0 and at most 1")
    total = int(steps / denoise)
    if total > length:
        asked = f"{steps} steps" if total == steps else f"{steps} steps at denoise {denoise:g} ({total} in all)"
        raise ValueError(f"{asked} asked for, but this schedule has only {length} timesteps: "
                         "lower steps, or raise denoise if it is below 1")
    # In floating point, as in both sources: with exact division a few of the large counts would differ from them.
    return [math.floor(i * (length / total)) for i in range(total - steps, total)]


def lcm_timesteps(original_steps: int, steps: int, strength: float = 1.0) -> list[int]:
    """Return the timesteps of a few-step run, noisiest first (Wang et al. 2024, as in diffusers' LCMScheduler).

    Args:
        original_steps: Timesteps in the distillation grid.
        steps: Network calls, at most `original_steps * strength`.
        strength: Share of the grid to run through, from its noise-free end: diffusers' meaning, which starts close to
            timestep 1000 * strength. The host's denoise (`spaced_indices`) rounds the start to its own spacing instead;
            they agree where `steps / strength` and `original_steps * strength` are whole numbers.

    Raises:
        ValueError: More steps than that part of the grid has, or a number out of its range.
    """
    _check_original_steps(original_steps)
    if not 0 < strength <= 1:
        raise ValueError(f"strength is {strength}; expected more than 0 and at most 1")
    spacing = NUM_TIMESTEPS // original_steps
    timesteps = [k * spacing - 1 for k in range(1, int(original_steps * strength) + 1)]
    return [timesteps[-1 - i] for i in spaced_indices(len(timesteps), steps)]


def phase_edges(original_steps: int, phases: int) -> list[int]:
    """Return the lower edges of the phases of the timesteps, ascending from 0 (Wang et al. 2024, PCM).

    They are where a run of as many steps goes, so that each of its steps crosses one phase whole.

    Raises:
        ValueError: There are more phases than timesteps of the grid, or less than one.
    """
    _check_original_steps(original_steps)
    if not 1 <= phases <= original_steps:
        raise ValueError(f"phases is {phases}; expected 1 (none) to {original_steps}, the timesteps of the grid, such "
                         "as 4")
    return [0, *reversed(lcm_timesteps(original_steps, phases)[1:])]

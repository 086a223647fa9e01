"""One step of a training: the optimiser, the average, and what a checkpoint keeps. It knows no maths."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from . import checkpoints, ema
from .config import LoopConfig
from .decisions import Together
from .fingerprint import METHOD, of_code, settings
from .finite import are_finite
from .origin import Origin

WATCHED = 100
"""Steps over which the loss is smoothed to see where it goes."""
MOST_LEFT_OUT = 30
"""Steps in a row that "float16" may leave out. Each of them halves the factor on the loss, which starts at 65,536:
where so many are not enough, the gradient is too large at any factor, or no number at all."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Stage:
    """What is trained."""

    name: str
    """For messages."""
    parameters: dict[str, nn.Parameter]
    """What the optimiser changes, in float32."""
    loss: Callable[[int], Tensor]
    """Loss of a batch, given its number."""
    tracked: Mapping[str, Tensor]
    """The weights that are averaged: the parameters, as a rule."""
    average: dict[str, Tensor]
    """Their average, with the same names; the loop changes it in place."""
    teacher: dict[str, Tensor] = field(default_factory=dict)
    """Weights of a teacher, where they are others; the loop only knows that they take memory."""
    origin: Origin = Origin()
    """What decides the result beside the loop: a checkpoint of another one is refused."""
    processes: int = 1
    """By how many the batches of a step are shared."""
    optimiser: Callable[[LoopConfig], torch.optim.Optimizer] | None = None
    """What makes an optimiser of the parameters, where it is not AdamW; the loop sets its rate."""


@dataclass(frozen=True)
class Report:
    """One step of the optimiser."""

    step: int
    """Steps finished, this one included."""
    loss: float
    """Mean over the step's batches."""
    learning_rate: float
    gradient_norm: float
    """Before it was cut; infinite where "float16" overflowed and the step was left out."""
    seconds: float
    """Time that the step took."""


@dataclass
class Watch:
    """Notices a loss that grows without end. Single losses tell nothing: they differ by the timestep drawn."""

    limit: float
    steps: int = 0
    smooth: float = 0.0
    least: float = math.inf

    def sees(self, loss: float) -> bool:
        """Take a step's loss; return whether the smoothed loss is `limit` times the lowest so far."""
        self.steps += 1
        self.smooth += (loss - self.smooth) / min(self.steps, WATCHED)
        if self.steps >= WATCHED:
            self.least = min(self.least, self.smooth)
        return self.smooth > self.limit * self.least


class Trainer:
    """The optimiser and what belongs to it, for one run."""

    def __init__(self, stage: Stage, config: LoopConfig, together: Together) -> None:
        self.stage, self.config, self.together = stage, config, together
        self.parameters = list(stage.parameters.values())
        self.device = self.parameters[0].device
        self.finished = 0
        self.losses: list[float] = []
        self.origin = origin(stage, config)
        # While it is, the weights are those of no step.
        self.changing = False
        self.left_out = 0
        self.optimiser = (stage.optimiser or self._adamw)(config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "float16")

    def _adamw(self, config: LoopConfig) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters, lr=config.learning_rate, betas=config.betas,
                                 weight_decay=config.weight_decay, fused=True)

    def step(self, step: int) -> Report:
        """Run the batches of a step; change the weights unless loss or gradient are not finite."""
        start = time.perf_counter()
        self.optimiser.zero_grad(set_to_none=True)
        # The mean of all processes: what follows from it is the same in each of them.
        loss = self.together.decide(self._backward(step))
        rate, norm = learning_rate(step, self.config), math.nan
        if math.isfinite(loss):
            norm = self._gradient_norm()
            self.left_out = 0 if math.isfinite(norm) else self.left_out + 1
            if self.left_out == 0 or self.scaler.is_enabled():
                self.changing = True
                self._change(step, rate)
                self.finished = step + 1
                self.losses.append(loss)
                self.changing = False
        return Report(step + 1, loss, rate, norm, time.perf_counter() - start)

    def problem(self, report: Report, watch: Watch) -> str | None:
        """Return what is wrong with a step, if anything is."""
        if not math.isfinite(report.loss) or watch.sees(report.loss):
            return f"the loss is {report.loss:g}"
        if self.scaler.is_enabled():
            # A gradient that overflows now and then is what the scaled loss is there for.
            if self.left_out == MOST_LEFT_OUT:
                return f"the gradient has been out of float16's range for {self.left_out} steps in a row"
        elif self.left_out:
            return f"the loss is {report.loss:g} and its gradient has the norm {report.gradient_norm:g}"
        if self.is_time_to_save() and not self.is_sound():
            return "a weight, its average or its moments are no numbers any more"
        return None

    def advice(self, step: int) -> str:
        """Return what to do about a problem at a step."""
        if self.scaler.is_enabled() and self.left_out:
            return "Train in bfloat16 or float32"
        if step > 0:
            return "Lower the learning rate, under another name"
        precision = self.config.precision
        other = "" if precision == "float32" else f", or train in float32 instead of {precision}"
        return f"No step has changed a weight yet, so the learning rate is not the cause: look at data and MODEL{other}"

    def is_time_to_save(self) -> bool:
        """Return whether the step that was just finished is one whose state is kept."""
        return self.finished % self.config.save_every == 0 or self.finished == self.config.steps

    def is_sound(self) -> bool:
        """Return whether everything that a checkpoint holds is finite."""
        moments = (value for state in self.optimiser.state.values() for value in state.values()
                   if isinstance(value, Tensor))
        return are_finite(self.parameters) and are_finite(self.stage.average.values()) and are_finite(moments)

    def _backward(self, step: int) -> float:
        """Run the batches of a step and the way back; return the mean of their losses."""
        count = self.config.accumulation
        return sum([self._backward_of(step * count + batch) for batch in range(count)]) / count

    def _backward_of(self, number: int) -> float:
        with autocast(self.config, self.device):
            loss = self.stage.loss(number)
        value = loss.item()
        if math.isfinite(value):
            self.scaler.scale(loss / self.config.accumulation).backward()
        return value

    def _gradient_norm(self) -> float:
        """Cut the gradients of all processes together; return their norm before."""
        self.together.synchronise([p.grad for p in self.parameters if p.grad is not None])
        self.scaler.unscale_(self.optimiser)
        return torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip).item()

    def _change(self, step: int, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.scaler.step(self.optimiser)
        self.scaler.update()
        keep = ema.keep_at(step, self.config.ema, self.config.ema_warmup)
        ema.update(self.stage.average, self.stage.tracked, keep)

    def resume(self, checkpoint: Path) -> int:
        """Take everything from the checkpoint; return the steps that it has finished."""
        state = checkpoints.load(checkpoint, self.device)
        checkpoints.check(checkpoint, state, self.origin, self.config.steps)
        checkpoints.fill(checkpoint, "network", self.stage.parameters, state["network"])
        checkpoints.fill(checkpoint, "average", self.stage.average, state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])
        if not self.is_sound():
            raise checkpoints.CheckpointError(f"{checkpoint.name} holds weights that are no numbers, from which "
                                              "nothing can be trained; remove it to start anew")
        self.losses = list(state.get("losses", []))
        self.finished = state["step"]
        return self.finished

    def save(self, checkpoint: Path | None, step: int, writes: bool) -> int:
        """Write the checkpoint of `step` finished steps, if there is to be one; return `step`."""
        if checkpoint is not None and writes:
            state = {"step": step, "network": {name: p.detach() for name, p in self.stage.parameters.items()},
                     "average": self.stage.average, "optimiser": self.optimiser.state_dict(),
                     "losses": self.losses, "origin": self.origin.plain()}
            if self.scaler.is_enabled():
                state["scaler"] = self.scaler.state_dict()
            checkpoints.save(checkpoint, state)
        return step


def learning_rate(step: int, config: LoopConfig) -> float:
    """Return the rate of a step: a straight rise, then constant or half a cosine down to zero."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    if config.rate == "constant":
        return config.learning_rate
    return config.learning_rate * 0.5 * (
        1 + math.cos(math.pi * (step - config.warmup) / (config.steps - config.warmup)))


def autocast(config: LoopConfig, device: torch.device) -> torch.autocast:
    """Return the context in which the networks compute in the run's precision."""
    precision = DTYPES[config.precision]
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)


def origin(stage: Stage, config: LoopConfig) -> Origin:
    """Return all that decides the weights of a run."""
    own = settings(config)
    # So many in one process, or a part of them in each of several: the result is the same.
    own["batches of a step"] = own.pop("accumulation") * stage.processes
    return stage.origin.and_settings(own).and_contents(method=of_code(*METHOD))

"""The training loop: a generator that yields a report for every step. It knows no maths.

Batches are numbered, and a loss draws everything from its batch's number: a run that was resumed gives the same bits as
one that never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..storage.atomic import remove_unfinished
from ..storage.locks import held
from . import checkpoints, ema
from .config import LoopConfig
from .fingerprint import METHOD, of_code, settings
from .origin import Origin

WATCHED = 100
"""Steps over which the loss is smoothed to see where it goes."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class DivergenceError(FloatingPointError):
    """The loss is no number any more, or grows without end."""


@dataclass(frozen=True)
class Stage:
    """What is trained."""

    name: str
    """For messages."""
    parameters: dict[str, nn.Parameter]
    """What the optimiser changes, in float32."""
    loss: Callable[[int], Tensor]
    """Loss of a batch, given its number."""
    tracked: dict[str, Tensor]
    """The weights that are averaged: the parameters, as a rule."""
    average: dict[str, Tensor]
    """Their average, with the same names; the loop changes it in place."""
    teacher: dict[str, Tensor] = field(default_factory=dict)
    """Weights of a teacher, where they are others; the loop only knows that they take memory."""
    origin: Origin = Origin()
    """What decides the result beside the loop: a checkpoint of another one is refused."""
    processes: int = 1
    """By how many the batches of a step are shared."""


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
class _Watch:
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


def train(
    stage: Stage,
    config: LoopConfig,
    checkpoint: Path | None = None,
    synchronise: Callable[[Iterable[Tensor]], None] | None = None,
    writes: bool = True,
) -> Generator[Report, None, None]:
    """Run the stage to its end, from its checkpoint if there is one, and yield a report for each step.

    An interrupt writes a checkpoint of the last whole step, whether it closes the generator between two steps or is
    raised within one, as the host's layers do; an error leaves the last checkpoint as it was.

    Args:
        checkpoint: File to resume from and to write; None keeps nothing.
        synchronise: Called with all gradients before they are used, where several processes train together.
        writes: Whether this process writes the checkpoint.

    Raises:
        DivergenceError: The loss is not finite or grows without end; the last checkpoint is left as it was.
        CheckpointError: The checkpoint belongs to another run.
        HeldError: Another process is at a run of this checkpoint.
        WriteError: A checkpoint could not be written; the last one is as it was.
    """
    if checkpoint is None or not writes:
        yield from _steps(stage, config, checkpoint, synchronise, writes)
        return
    with held(checkpoint):
        remove_unfinished(checkpoint)
        yield from _steps(stage, config, checkpoint, synchronise, writes)


def nothing_left(config: LoopConfig) -> str:
    """Say that a run gave no report, since its checkpoint has all steps."""
    more = "set more steps, or " if config.rate == "constant" else ""
    return (f"all {config.steps} steps are done already; nothing was trained, and the result is that of the "
            f"checkpoint. To train, {more}choose another name")


def origin(stage: Stage, config: LoopConfig) -> Origin:
    """Return all that decides the weights of a run."""
    own = settings(config)
    # So many in one process, or a part of them in each of several: the result is the same.
    own["batches of a step"] = own.pop("accumulation") * stage.processes
    return stage.origin.and_settings(own).and_contents(method=of_code(*METHOD))


def _steps(stage: Stage, config: LoopConfig, checkpoint: Path | None, synchronise: Callable | None, writes: bool
           ) -> Generator[Report, None, None]:
    trainer = _Trainer(stage, config, synchronise)
    first = saved = trainer.resume(checkpoint) if checkpoint is not None and checkpoint.exists() else 0
    watch = _Watch(config.divergence)
    try:
        for step in range(first, config.steps):
            report = trainer.step(step)
            if not math.isfinite(report.loss) or watch.sees(report.loss):
                raise DivergenceError(
                    f"{stage.name}: the loss is {report.loss:g} at step {report.step}, and training stops; "
                    f"{_last(checkpoint)}. Lower the learning rate, under another name")
            if report.step % config.save_every == 0 or report.step == config.steps:
                saved = trainer.save(checkpoint, report.step, writes)
            yield report
    except BaseException as reason:
        if not isinstance(reason, Exception) and trainer.finished > saved and not trainer.changing:
            trainer.save(checkpoint, trainer.finished, writes)
        raise


def _last(checkpoint: Path | None) -> str:
    if checkpoint is None or not checkpoint.exists():
        return "there is no checkpoint yet"
    return f"the last good checkpoint is {checkpoint}"


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


class _Trainer:
    """The optimiser and what belongs to it, for one run."""

    def __init__(self, stage: Stage, config: LoopConfig, synchronise: Callable | None) -> None:
        self.stage, self.config, self.synchronise = stage, config, synchronise
        self.parameters = list(stage.parameters.values())
        self.device = self.parameters[0].device
        self.finished, self.losses = 0, []
        self.origin = origin(stage, config)
        # While it is, the weights are those of no step.
        self.changing = False
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay, fused=True)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "float16")

    def step(self, step: int) -> Report:
        """Run the batches of a step; change the weights unless the loss is not finite."""
        start = time.perf_counter()
        self.optimiser.zero_grad(set_to_none=True)
        count = self.config.accumulation
        losses = [self._backward(step * count + batch) for batch in range(count)]
        loss, rate = sum(losses) / count, learning_rate(step, self.config)
        norm = math.nan
        if math.isfinite(loss):
            self.changing = True
            norm = self._change(step, rate)
            self.finished = step + 1
            self.losses.append(loss)
            self.changing = False
        return Report(step + 1, loss, rate, norm, time.perf_counter() - start)

    def _backward(self, number: int) -> float:
        with autocast(self.config, self.device):
            loss = self.stage.loss(number)
        value = loss.item()
        if math.isfinite(value):
            self.scaler.scale(loss / self.config.accumulation).backward()
        return value

    def _change(self, step: int, rate: float) -> float:
        if self.synchronise is not None:
            self.synchronise([p.grad for p in self.parameters if p.grad is not None])
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip).item()
        self.optimiser.param_groups[0]["lr"] = rate
        self.scaler.step(self.optimiser)
        self.scaler.update()
        keep = ema.keep_at(step, self.config.ema, self.config.ema_warmup)
        ema.update(self.stage.average, self.stage.tracked, keep)
        return norm

    def resume(self, checkpoint: Path) -> int:
        """Take everything from the checkpoint; return the steps that it has finished."""
        state = checkpoints.load(checkpoint, self.device)
        checkpoints.check(checkpoint, state, self.origin, self.config.steps)
        checkpoints.fill(checkpoint, "network", self.stage.parameters, state["network"])
        checkpoints.fill(checkpoint, "average", self.stage.average, state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])
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

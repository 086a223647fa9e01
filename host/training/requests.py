"""What is asked of a training, and what an adaptation takes from the few-step module that it is for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from comfy.model_patcher import ModelPatcher

from ...motion.errors import short
from ...samplers.schedules import SCHEDULES, lcm_timesteps, phase_edges
from ...training.config import DistillationConfig, TrainingConfig
from ...training.methods import without_guidance
from ...training.options import AUTO, TEXT_TO_VIDEO
from ..motion import LoadedMotion


@dataclass(frozen=True)
class Request:
    """The settings of a run."""

    config: TrainingConfig
    schedule: str
    """A key of SCHEDULES whose entry has a distillation grid; for an adaptation also AUTO, the motion module's own."""
    name: str
    """Of the result, and of the checkpoint, from which the run goes on if there is one."""
    bases: tuple[ModelPatcher, ...] = ()
    """Further MODELs for the motion stage, which trains each batch on one of them or on its own."""

    def distilling(self, init: str, decoupled: bool) -> Request:
        """Return the request with another way of the motion stage."""
        return self._with(replace(self.config.distillation, init=init, decoupled=decoupled))

    def with_phases(self, phases: int, guided: bool) -> Request:
        """Return the request with so many phases, where it is not 0, and with a teacher that has guidance or has none.
        """
        how = self.config.distillation
        how = replace(how, phases=phases) if phases else how
        return self._with(how if guided else without_guidance(how))

    def for_rolling(self, steps: int) -> Request:
        """Return the request for the rolling sampler of so many steps."""
        return self._with(replace(self.config.distillation, rolling=steps))

    def on_its_grid(self) -> Request:
        """Return the request with the timesteps of its schedule's distillation grid.

        Raises:
            ValueError: The schedule has no grid, or a smaller one than the other settings ask for.
        """
        schedule = SCHEDULES.get(self.schedule)
        if schedule is None or schedule.original_steps is None:
            known = ", ".join(name for name, each in SCHEDULES.items() if each.original_steps is not None)
            raise ValueError(f"schedule is {self.schedule!r}; expected one with a distillation grid: {known}")
        try:
            return self._with(replace(self.config.distillation, original_steps=schedule.original_steps))
        except ValueError as error:
            raise ValueError(f"with the grid of the schedule {self.schedule!r}, of {schedule.original_steps} "
                             f"timesteps: {error}") from error

    def _with(self, how: DistillationConfig) -> Request:
        return replace(self, config=replace(self.config, distillation=how))


def adapted_to(motion: LoadedMotion | None, request: Request, is_trained: bool = False) -> Request:
    """Return the request of an adaptation with the schedule and the phases of the module that is adapted to.

    Args:
        motion: None: images are trained on, with a spatial LoRA for text to video.
        is_trained: Whether the module itself is trained as well, and so may be led to another schedule.

    Raises:
        ValueError: The request has others, or the module is none for few steps.
    """
    request = _on_the_schedule_of(motion, request, is_trained)
    how = request.config.distillation
    if motion is None or motion.trained.phases == how.phases:
        return request
    if how.phases != 1:
        raise ValueError(f"phases is {how.phases}, and {motion.name} was trained in {motion.trained.phases}. Leave "
                         "phases out: an adapter is trained in those of its motion module")
    return request.with_phases(motion.trained.phases, guided=True)


def tuned_to_rolling(motion: LoadedMotion, request: Request) -> Request:
    """Return the request to tune a module to the rolling sampler, as `adapted_to` does.

    Raises:
        ValueError: The module is none for that sampler, or none for so many of its steps.
    """
    request = adapted_to(motion, request).on_its_grid()
    how = request.config.distillation
    edges = phase_edges(how.original_steps, how.phases)
    if missing := set(edges[1:]) - set(lcm_timesteps(how.original_steps, how.rolling)):
        raise ValueError(f"{motion.name} was trained in {how.phases} phases, and {how.rolling} steps of the rolling "
                         f"sampler pass over {len(missing)} of the timesteps where these end. Tune it to {how.phases} "
                         f"steps, or to a multiple of {how.phases}")
    return request


def _on_the_schedule_of(motion: LoadedMotion | None, request: Request, is_trained: bool) -> Request:
    if motion is None:
        return replace(request, schedule=TEXT_TO_VIDEO) if request.schedule == AUTO else request
    own = motion.schedule
    if request.schedule not in (AUTO, own) and is_trained:
        return request
    if own not in SCHEDULES:
        raise ValueError(f"{motion.name} asks in its metadata for the noise schedule '{short(own)}', which this "
                         "version does not know. Update this pack")
    if SCHEDULES[own].original_steps is None:
        raise ValueError(f"{motion.name} ({motion.family}) was trained with the schedule {own!r}, which has no "
                         "distillation grid: nothing can be adapted to a module that is not distilled. Distil it "
                         "first, or take a few-step module such as AnimateLCM_sd15_t2v.ckpt")
    if request.schedule not in (AUTO, own):
        raise ValueError(f"schedule is {request.schedule!r}, and {motion.name} was trained with {own!r}. Set schedule "
                         f"to {AUTO!r}: what is adapted to a module is trained with the module's own")
    return replace(request, schedule=own)

"""The paper's stages: which weights the student, the target and the teacher have, and what the loop trains.

The networks share one module. The student is the module as it is; target and teacher are the same module called with
other weights in place of some, so that nothing frozen is held twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from . import ema
from .bases import Bases
from .config import TrainingConfig
from .consistency import Diffusion, Network
from .draws import Source, draw
from .finite import check_parameters
from .losses import distillation_loss, teacher_free_loss
from .origin import Origin
from .own_samples import has_own_samples, own_samples
from .trainer import Stage

UP = ".up.weight"
"""End of the name of a LoRA's second matrix."""


@dataclass(frozen=True)
class Setting:
    """What every stage needs."""

    model: nn.Module
    """Called with z (images b c h w, or clips b f c h w), timesteps (b,), context (b n d) and the conditions by name;
    returns a prediction like z. Its parameters are frozen but for those of a stage."""
    source: Source
    empty: Tensor
    """Context of the empty caption, 1 n d."""
    diffusion: Diffusion
    config: TrainingConfig
    largest: int = 0
    """Number of a batch than which none of the run is larger."""
    origin: Origin = Origin()
    """What the model, the data and the settings are."""
    bases: Bases | None = None
    """Further base models, in turn with the model's own weights."""


def network(model: nn.Module, weights: Mapping[str, Tensor], conditions: Mapping[str, Tensor]) -> Network:
    """Return the model with `weights` in place of its own, where they are named, as a callable of z, t and c."""
    if not weights:
        return lambda z, timesteps, context: model(z, timesteps, context, **conditions)
    return lambda z, timesteps, context: torch.func.functional_call(
        model, dict(weights), (z, timesteps, context), dict(conditions))


def image_stage(setting: Setting) -> Stage:
    """Distil the image model into a spatial LoRA, which has been injected into it (Wang et al. 2024, first stage)."""
    lora = _parameters(setting.model, ".down.weight", UP)
    return _distillation(setting, trained=lora, tracked=lora, average=ema.copies(lora), teacher=without(lora))


def motion_stage(setting: Setting, motion: str = "motion.") -> Stage:
    """Distil the motion module on clips (Wang et al. 2024, second stage).

    The spatial LoRA, which has been injected into the model, works in the student. Where the target starts without it
    (init "student"), its `up` matrices start at zero and the averaging brings them up, while `down` is the same in
    both: the target's LoRA is then the student's times 1 - ema^steps. A target that has the student's own weights has
    its LoRA too. Not decoupled, the LoRA is trained as well.

    Args:
        motion: What the names of the motion module's parameters begin with.
    """
    config = setting.config.distillation
    module = {name: p for name, p in setting.model.named_parameters() if name.startswith(motion)}
    lora = _parameters(setting.model, ".down.weight", UP)
    average = ema.copies(module | lora)
    if config.init == "student" and config.decoupled and config.target == "average":
        average |= {name: torch.zeros_like(p).detach() for name, p in lora.items() if name.endswith(UP)}
    teacher = ema.copies(module) | without(lora)
    trained = module if config.decoupled else module | lora
    return _distillation(setting, trained, module | lora, average, teacher)


def adaptation_stage(setting: Setting, trained: tuple[str, ...]) -> Stage:
    """Tune or train an adapter against the few-step model, without a teacher (Wang et al. 2024, third part).

    Args:
        trained: What the names of the trained parameters begin with, such as "encoder." and "motion.".
    """
    parameters = {name: p for name, p in setting.model.named_parameters() if name.startswith(trained)}
    _train_only(setting.model, parameters)
    check_parameters(setting.model)
    average, config = ema.copies(parameters), setting.config

    how = config.distillation

    def loss(number: int) -> Tensor:
        examples = setting.source(number)
        weights = average if how.target == "average" else detached(parameters)
        student, target = (network(setting.model, own, examples.conditions) for own in ({}, weights))
        drawn = draw(examples, how, config.seed, number, setting.empty)
        return teacher_free_loss(student, target, drawn, setting.diffusion, how.huber, how.motion_weight)

    return Stage(config.stage, parameters, loss, parameters, average, origin=setting.origin)


def without(lora: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that take a LoRA out of a network: `up` matrices of rank zero, which cost no time."""
    return {name: weight.detach()[:, :0] for name, weight in lora.items() if name.endswith(UP)}


def detached(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the same weights without a gradient.

    The student called under no_grad would do as well, but autocast keeps what it converts there, and the student's own
    pass would then find weights that no gradient reaches.
    """
    return {name: weight.detach() for name, weight in weights.items()}


def _distillation(setting: Setting, trained: dict[str, nn.Parameter], tracked: Mapping[str, Tensor],
                  average: dict[str, Tensor], teacher: dict[str, Tensor]) -> Stage:
    _train_only(setting.model, trained)
    check_parameters(setting.model)
    config, how = setting.config, setting.config.distillation

    def loss(number: int) -> Tensor:
        if setting.bases is not None:
            setting.bases.use(setting.bases.index_of(number))
        examples, frozen = setting.source(number), detached(trained)
        student, same, target, guide = (network(setting.model, weights, examples.conditions) for weights in (
            {}, frozen, average if how.target == "average" else frozen, teacher))
        drawn = draw(examples, how, config.seed, number, setting.empty)
        if has_own_samples(how, config.seed, number):
            drawn = replace(drawn, x0=own_samples(same, drawn, how, setting.diffusion, config.seed, number))
        return distillation_loss(student, target, guide, drawn, setting.empty, setting.diffusion, how.huber,
                                 how.motion_weight)

    return Stage(config.stage, trained, loss, tracked, average, teacher, origin=setting.origin)


def _parameters(model: nn.Module, *endings: str) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if name.endswith(endings)}


def _train_only(model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> None:
    if not parameters:
        raise ValueError("the stage has nothing to train: none of the model's parameters are of the trained kind")
    model.requires_grad_(False)
    for parameter in parameters.values():
        parameter.requires_grad_(True)

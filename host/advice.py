"""What a motion module was made for, and what is said on its node and in the log when a run begins otherwise.

Nothing is refused: what looks wrong here may be meant so.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy.samplers import KSAMPLER_NAMES, CFGGuider
from torch import Tensor

from ..samplers.schedules import SCHEDULES
from .display import show_text_at
from .masks import starts_over_after
from .motion import KEY, LoadedMotion
from .parts import PartSampler, video_of
from .sampling import FreshNoise

ADVICE = f"{KEY}.advice"
"""Names our wrapper and the entry in the options of a MODEL."""

TRAINED_FRAMES = 16
"""Frames of the clips that the released modules were trained on."""
MOST_CFG = 2.0
"""Of a few-step module, which was made for 1."""
FEWEST_OF_MANY = 10
"""Steps with which a module that was not distilled still gives a picture; 25 are recommended."""
FIRST_ORDER = frozenset({"lcm", "euler", "euler_ancestral", "euler_cfg_pp", "euler_ancestral_cfg_pp", "ddpm"})
"""Samplers of the host that use nothing of a step but its clean prediction, as consistency models need it."""
SAMPLERS = {"lcm": FIRST_ORDER, "euler": frozenset({"euler", "euler_cfg_pp"})}
"""The samplers that do what the recommended one does."""


@dataclass(frozen=True)
class Recipe:
    """What a motion file is sampled with."""

    steps: int | None
    """The number it was made for; None where nothing says it."""
    few: bool
    """Whether it was distilled."""
    sampler: str | None = None
    """The one it was made for; None: any."""
    most_steps: int | None = None
    """More are no better; None: no limit."""
    cfg: tuple[float, float] = (1.0, MOST_CFG)
    """The least and the most that it takes."""


def recipe_of(motion: LoadedMotion) -> Recipe:
    """Return what is known of a file: from its advice, or only from its schedule where the family is not known."""
    schedule = SCHEDULES[motion.schedule]
    advice = re.match(r"(\d+) steps, cfg (\d+)(?: to (\d+))?, sampler (\w+)", motion.sampling or "")
    if advice is None:
        few = motion.sampling is None and schedule.original_steps is not None
        return Recipe(None if few else 25, few)
    steps = int(advice[1])
    # A consistency model takes other numbers too; the rest was distilled for just one.
    most_steps = steps if schedule.original_steps is None else 2 * steps
    return Recipe(steps, True, advice[4], most_steps, (float(advice[2]), float(advice[3] or MOST_CFG)))


@dataclass(frozen=True)
class Placed:
    """A motion module on a MODEL, and the node that put it there."""

    node: str | None
    """The node's id in the graph."""
    text: str
    """What the node shows in any case."""
    name: str
    """The motion file's, for the log."""
    frames: int
    """The fewest frames of a clip that it was trained on."""
    recipe: Recipe | None
    """None where it acts in a part of the sampling only: another module may decide the rest."""


@dataclass(frozen=True)
class Facts:
    """What a run is set to."""

    frames: int
    """Of a clip: of the video or of one context window."""
    windows: bool
    steps: int
    share: float
    """Part of all timesteps that the steps lie in, above 0: less than 1 with denoise, or in one of several samplers."""
    cfg: float
    sampler: str | None
    """The host's name of it, or of the one that does the same as ours; None for others."""
    patched: bool
    """Whether a LoRA may have made the image model quick."""
    rolling: bool = False
    """Whether the clip is the window of the rolling sampler."""
    fresh_noise: float | None = None
    """Share of it between two steps, where the sampler is one of ours."""


def placed_by(model: ModelPatcher, motion: LoadedMotion, node: str | None, text: str) -> ModelPatcher:
    """Return a clone of a MODEL, which `motion` was applied to last, that says at each start of a run what is unusual.

    Args:
        node: Id of the node in the graph, where it is said; None: only in the log.
        text: What the node shows in any case, before what is said.
    """
    whole = all(control.start_percent == 0 and control.end_percent == 1 for control in motion.controls)
    placed = Placed(node, text, motion.name, min(TRAINED_FRAMES, motion.config.max_frames),
                    recipe_of(motion) if whole else None)
    applied = model.clone()
    options = applied.model_options["transformer_options"]
    options[ADVICE] = (*options.get(ADVICE, ()), placed)
    applied.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, ADVICE)
    applied.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, ADVICE, _say)
    return applied


def _say(executor, noise: Tensor, latent_image: Tensor, sampler, sigmas: Tensor, noise_mask: Tensor | None,
         *args, **kwargs) -> Tensor:
    """OUTER_SAMPLE wrapper: show what is unusual on the nodes, or take back what an earlier run has said."""
    guider: CFGGuider = executor.class_obj
    entries: tuple[Placed, ...] = guider.model_options["transformer_options"][ADVICE]
    facts = _facts(guider, video_of(sampler, noise.shape)[0], sampler, sigmas)
    mixed = len({entry.recipe for entry in entries}) > 1
    for entry in entries:
        said = [*about_frames(entry.frames, facts), *about_masks(noise_mask)]
        if entry.recipe is not None and not mixed:
            said += about_sampling(entry.recipe, facts)
        for line in said:
            logging.getLogger(__name__).warning("%s: %s", entry.name, line)
        show_text_at(entry.node, "\n".join([*(f"note: {line}." for line in said), entry.text]))
    return executor(noise, latent_image, sampler, sigmas, noise_mask, *args, **kwargs)


def _facts(guider: CFGGuider, num_frames: int, sampler: object, sigmas: Tensor) -> Facts:
    handler, model = guider.model_options.get("context_handler"), guider.model_patcher
    windows = handler is not None and num_frames > handler.context_length
    rolling = False
    if isinstance(sampler, PartSampler) and num_frames > sampler.frames_per_call:
        rolling, num_frames = True, sampler.frames_per_call
    model_sampling = model.get_model_object("model_sampling")
    fresh_noise = sampler.fresh_noise(model_sampling) if isinstance(sampler, FreshNoise) else None
    timestep = model_sampling.timestep
    first, last = (float(timestep(sigma)) if sigma > 0 else 0.0 for sigma in (sigmas[0].cpu(), sigmas[-1].cpu()))
    return Facts(
        frames=handler.context_length if windows else num_frames, windows=windows, steps=len(sigmas) - 1,
        share=max(first - last, 1.0) / 999,
        cfg=_highest_cfg(guider),
        sampler=_name_of(sampler, fresh_noise), patched=bool(model.patches), rolling=rolling, fresh_noise=fresh_noise)


def _name_of(sampler: object, fresh_noise: float | None) -> str | None:
    if fresh_noise is not None:
        return "lcm" if fresh_noise else "euler"
    name = getattr(getattr(sampler, "sampler_function", None), "__name__", "").removeprefix("sample_")
    return name if name in KSAMPLER_NAMES else None


def _highest_cfg(guider: CFGGuider) -> float:
    """Return the highest cfg of a run: a guider for two conditionings has one for each, other packs' one for each step.
    """
    found = (getattr(guider, name, None) for name in ("cfg", "cfg1", "cfg2"))
    return max([1.0, *(float(torch.as_tensor(cfg).max()) for cfg in found if cfg is not None)])


def about_frames(trained: int, facts: Facts) -> list[str]:
    """Return what is to be said about the frames of a clip."""
    if facts.frames >= trained:
        return []
    if facts.rolling:
        return [f"the rolling sampler's window has {facts.frames} frames, but the module was trained on {trained}: "
                f"fewer give noise or stills. Set window to {trained}"]
    what, advice = (("the context windows have", f"context_length to {trained}") if facts.windows else
                    ("the video has", f"batch_size of Empty Latent Image, or num_frames, to {trained}"))
    return [f"{what} {facts.frames} frame{'s' if facts.frames > 1 else ''}, but the module was trained on {trained}: "
            f"fewer give noise or stills. Set {advice}"]


def about_masks(noise_masks: Tensor | None) -> list[str]:
    """Return what is to be said about noise masks, f c h w, that may be fewer than frames or meant so."""
    count = starts_over_after(noise_masks)
    return [] if count is None else [f"the noise masks repeat after {count} frames. If they are to be others, give the "
                                     "latent one for each frame"]


def about_sampling(recipe: Recipe, facts: Facts) -> list[str]:
    """Return what is to be said about the settings of the sampler."""
    said = []
    least, most = recipe.cfg
    if recipe.few and facts.cfg > most:
        said.append(f"cfg is {facts.cfg:g}, but the module was made for {_range(recipe)}: more than {most:g} burns the "
                    f"colours. Set cfg to {least:g}")
    if recipe.few and facts.cfg < least:
        said.append(f"cfg is {facts.cfg:g}, but the module was made for {_range(recipe)}, since its teacher had no "
                    f"guidance: less follows the prompt loosely. Set cfg to {least:g} or more")
    if recipe.sampler and facts.sampler and facts.sampler not in SAMPLERS.get(recipe.sampler, {facts.sampler}):
        said.append(f"the sampler is {facts.sampler}, but the module was made for {recipe.sampler}"
                    if facts.fresh_noise is None else
                    f"the sampler is one with stochasticity {facts.fresh_noise:g}, but the module was made for "
                    f"{recipe.sampler}, which adds no fresh noise. Set stochasticity to 0")
    return said + _about_steps(recipe, facts)


def _range(recipe: Recipe) -> str:
    least, most = recipe.cfg
    return f"{least:g}" if most == MOST_CFG else f"{least:g} to {most:g}"


def _about_steps(recipe: Recipe, facts: Facts) -> list[str]:
    if recipe.steps is None or facts.steps < 1:
        return []
    message = f"the module was made for {recipe.steps} steps, the run has {facts.steps}"
    if recipe.most_steps is not None and facts.steps > recipe.most_steps:
        return [f"{message}: more are slower and no better. Set steps to {recipe.steps}"]
    fewest = FEWEST_OF_MANY if not recipe.few else recipe.steps if recipe.most_steps == recipe.steps else 1
    # A LoRA for few steps may be what the steps are for.
    if (recipe.few or not facts.patched) and round(facts.steps / facts.share) < fewest:
        return [f"{message}: so few leave noise. Set steps to {recipe.steps}"]
    return []

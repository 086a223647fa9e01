"""Ways to distil, as a run chooses one by its name: what each changes of a preset's settings, with its source."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .config import DistillationConfig, TrainingConfig

METHODS = ("paper", "phased", "phased + motion")
"""The paper's own; phased consistency (PCM); and on clips with the terms for motion too (MCM)."""
PHASES = 4
"""As many steps as AnimateLCM is made for."""
MOTION: dict[str, Any] = {"motion_weight": 1.0, "own_samples": 0.5}
"""The terms for motion: half of the batches begin with own samples (MCM); the weight is ours."""
EMPTY_CAPTIONS = 0.1
"""Share of left-out captions where the teacher has no guidance (PCM)."""


def with_method(config: TrainingConfig, method: str) -> TrainingConfig:
    """Return the settings with those of a method; the paper's are as they are.

    Raises:
        ValueError: There is no method of that name.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    if method == "paper":
        return config
    how = config.distillation
    # PCM: w of 4 to 5, since more over-exposes; a preset that has less keeps it.
    how = replace(how, phases=PHASES, target="student", w_min=min(how.w_min, 4.0), w_max=min(how.w_max, 5.0))
    if method == "phased + motion" and config.stage == "motion":
        how = replace(how, **MOTION)
    return replace(config, distillation=how)


def without_guidance(how: DistillationConfig) -> DistillationConfig:
    """Return the settings with a teacher without guidance, for a network that is sampled with cfg (PCM)."""
    return replace(how, w_min=0.0, w_max=0.0, empty_captions=EMPTY_CAPTIONS)


def described(how: DistillationConfig) -> str:
    """Return in a line what is not the paper's, beside phases and guidance, for the metadata of the result."""
    parts = []
    if how.motion_weight:
        parts.append(f"motion weight {how.motion_weight:g}")
    for name, text in (("own_samples", "own samples"), ("empty_captions", "empty captions")):
        if value := getattr(how, name):
            parts.append(f"{value:.0%} {text}")
    if how.target != "average":
        parts.append(f"target {how.target}")
    return ", ".join(parts)

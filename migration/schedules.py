"""The noise schedules of AnimateDiff-Evolved, by the names that its nodes save."""

from __future__ import annotations

AUTO, USE_EXISTING = "auto", "use existing"
TRAINED = "the schedule is the one that the motion file was trained with"

SCHEDULES: dict[str, tuple[str, str | None]] = {
    "autoselect": (AUTO, None),
    USE_EXISTING: ("keep the model's own", None),
    "sqrt_linear (AnimateDiff)": ("AnimateDiff", None),
    "linear (HotshotXL/default)": ("Stable Diffusion 1.5", None),
    "lcm": ("LCM", None),
    "lcm >> sqrt_linear": ("AnimateLCM text-to-video", "the noise is the same, the steps are those of AnimateLCM's own "
                                                       "grid (100) instead of LCM's (50)"),
    "lcm[100_ots]": (AUTO, TRAINED),
    "lcm avg(sqrt_linear,linear)": (AUTO, f"the mean of two schedules is not there; {TRAINED}"),
}
"""{beta_schedule: (schedule, where the result differs)}; all others become auto."""
OTHERS = ("linear (AnimateDiff-SDXL)", "avg(sqrt_linear,linear)", "sqrt", "cosine", "squaredcos_cap_v2")
"""Those others."""


def is_old(name: str) -> bool:
    """Say whether a schedule is named as AnimateDiff-Evolved names it."""
    return name in SCHEDULES or name in OTHERS


def schedule_for(name: str) -> tuple[str, str | None]:
    """Return the schedule that a beta_schedule becomes, and where the result differs."""
    return SCHEDULES.get(name, (AUTO, f"beta_schedule {name!r} is not there; {TRAINED}"))

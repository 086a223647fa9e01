"""What acts in a part of the sampling only, where the frames of one call are at different noise.

The host asks the first frame of a call whether a conditioning or a control acts. Here each frame is asked.
"""

from __future__ import annotations

from comfy.controlnet import ControlBase
from torch import Tensor

INNER = "inner_control"
"""Names the attribute of a control that holds the one that it runs."""


def in_their_ranges(conds: list[list[dict] | None], sigmas: Tensor) -> list[list[dict] | None]:
    """Return conditionings each of which counts for the frames whose noise is in its range alone.

    Args:
        conds: Positive, negative and more.
        sigmas: The noise level of each frame, (f,).
    """
    if (sigmas == sigmas[0]).all():
        return conds
    # Chunks of one call share a control; so they have to share what stands in its place.
    controls: dict[int, ControlByFrame] = {}
    return [cond and [_by_frame(entry, sigmas, controls) for entry in cond if _acts(entry, sigmas).any()]
            for cond in conds]


def _acts(entry: dict, sigmas: Tensor) -> Tensor:
    """Return for which frames a conditioning counts, (f,)."""
    return (sigmas <= entry.get("timestep_start", float("inf"))) & (sigmas >= entry.get("timestep_end", 0.0))


def _by_frame(entry: dict, sigmas: Tensor, controls: dict[int, ControlByFrame]) -> dict:
    entry, control = dict(entry), entry.get("control")
    acts = _acts(entry, sigmas)
    for name in ("timestep_start", "timestep_end"):
        entry.pop(name, None)
    if not acts.all():
        if "default" in entry:
            raise ValueError("a default conditioning acts in a part of the sampling only, which the rolling sampler "
                             "cannot do. Take its timestep range off, or use Long Video")
        # The host multiplies it with what belongs to each frame, f c h w.
        entry["strength"] = entry.get("strength", 1.0) * acts.to(sigmas).view(-1, 1, 1, 1)
    if control is not None:
        entry["control"] = controls.setdefault(id(control), ControlByFrame(control))
    return entry


class ControlByFrame:
    """In the place of a control and of those it is chained to: each acts on the frames whose noise is in its range."""

    def __init__(self, control: ControlBase) -> None:
        self.control = control

    def get_instance_for_device(self, device) -> ControlByFrame:
        """Return what stands in the place of the control's copy on another GPU."""
        return ControlByFrame(self.control.get_instance_for_device(device))

    def get_control(self, x: Tensor, sigmas: Tensor, cond: dict, batched_number: int, options: dict) -> dict | None:
        """Return what the controls add; `sigmas` has an entry for each frame of each chunk."""
        limited = [(control, acts) for control in _chain(self.control)
                   if (acts := _range_of(control, sigmas)) is not None]
        before = [(control.strength, control.timestep_range) for control, _ in limited]
        try:
            for control, acts in limited:
                # The host multiplies it with what belongs to each frame, f c h w.
                control.strength = control.strength * acts.to(x).view(-1, 1, 1, 1)
                control.timestep_range = None
            return self.control.get_control(x, sigmas, cond, batched_number, options)
        finally:
            # Also after an interrupt, which is no Exception.
            for (control, _), (strength, timestep_range) in zip(limited, before, strict=True):
                control.strength, control.timestep_range = strength, timestep_range


def _chain(control: ControlBase | None) -> list[ControlBase]:
    """Return a control, those that it is chained to, and those that they run."""
    if control is None:
        return []
    return [control, *_chain(getattr(control, INNER, None)), *_chain(control.previous_controlnet)]


def is_computed_by_host(control: ControlBase) -> bool:
    """Say whether the host's own code spreads a control's hints over the frames; a class of another pack may leave that
    to it, and an object may have a method of its own.
    """
    return control.get_control.__module__ == ControlBase.__module__


def _range_of(control: ControlBase, sigmas: Tensor) -> Tensor | None:
    """Return on which frames a control acts, (f,); None where it is all or none, of which the host knows."""
    if control.timestep_range is None:
        return None
    start, end = control.timestep_range
    acts = (sigmas <= start) & (sigmas >= end)
    if acts.all() or not acts.any():
        return None
    if not is_computed_by_host(control):
        raise ValueError("a control of another pack acts in a part of the sampling only, which the rolling sampler "
                         "cannot do: its calls have frames of every step. Set its start_percent to 0 and its "
                         "end_percent to 1, or use Long Video")
    return acts

"""Inside one window of a long video: which frames it covers, and what belongs to just these frames.

The host cuts latents, prompts and masks to its context windows, but gives every window the first hints of a ControlNet.
Each window gets its own here. Patches and controls of other packs get the window's frames in the form that they know;
controls that cut their hints by it themselves keep them all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from comfy.controlnet import ControlBase
from comfy.model_base import BaseModel
from torch import Tensor

from .frame_noise import INNER, in_their_ranges, is_computed_by_host
from .parts import Part

MADE_FROM_HINTS = ("cond_hint", "control_input")
"""What a control keeps of the hints that it was called with, where it has such an attribute."""


@dataclass(frozen=True)
class Window:
    """The part of a video that one call of the UNet computes."""

    frames: tuple[int, ...]
    """In the order of the batch, counted from 0: a loop's windows go on from the last frame to the first."""
    total_frames: int
    """Frames of the whole video."""
    rolling: bool = False
    """Whether its frames are at different noise, and each moves forward in it from call to call."""


def window_of(options: dict) -> Window | None:
    """Return the window of a call from its transformer_options; None where the call has the whole video."""
    window = options.get("context_window")
    if window is None:
        return None
    # The host's causal fix puts the frame before the window in front of it.
    before = getattr(window, "causal_anchor_index", None)
    anchor = () if before is None or before < 0 else (before,)
    return Window((*anchor, *window.index_list), window.total_frames, isinstance(window, Part))


def frames_of_clip(total_frames: int, num_frames: int, options: dict) -> tuple[int, ...] | None:
    """Return which frames of the video the clips of a call hold; None where nothing says it.

    Args:
        total_frames: Frames of the video.
        num_frames: Frames of a clip: of the whole video, or of one context window.
        options: The call's transformer_options.
    """
    window = window_of(options)
    frames = tuple(range(total_frames)) if window is None else window.frames
    return frames if len(frames) == num_frames else None


def in_window(executor, base: BaseModel, conds: list[list[dict] | None], x: Tensor, timestep: Tensor,
              model_options: dict) -> list[Tensor]:
    """CALC_COND_BATCH wrapper: give the conditionings of a window the hints and masks of its frames."""
    options = model_options.get("transformer_options", {})
    window = window_of(options)
    if window is None:
        return executor(base, conds, x, timestep, model_options)
    # Packs for AnimateDiff look for this entry, such as IP-Adapters with an image for each frame and ControlNets.
    options = options | {"ad_params": {
        "sub_idxs": list(window.frames), "full_length": window.total_frames, "context_length": len(window.frames)}}
    conds = [cond and [_masked_in(window, entry) for entry in cond] for cond in conds]
    controls = list(controls_of(conds))
    if window.rolling:
        conds = in_their_ranges(conds, timestep)
    with _hints_of(window, controls):
        return executor(base, conds, x, timestep, model_options | {"transformer_options": options})


def check_hints(conds: dict[str, list[dict]], total_frames: int) -> None:
    """Refuse what the host would fill up by starting over with the first hint, in the middle of the video.

    Raises:
        ValueError: A control has more than one hint, but fewer than the video has frames.
    """
    for control in controls_of(conds.values()):
        count = _count(control)
        # Controls that compute by themselves may have their own idea of it: SparseCtrl has hints for a few frames.
        if is_computed_by_host(control) and 1 < count < total_frames:
            raise ValueError(f"the video has {total_frames} frames, but a ControlNet or T2I-Adapter was given {count} "
                             "images. Give it one image for the whole video, or at least one for each frame; of more, "
                             "the first ones are used")


def controls_of(conds: Iterable[list[dict] | None]) -> Iterator[ControlBase]:
    """Yield each control of conditionings once, with those that it is chained to and its copies on other GPUs."""
    pending, seen = [entry.get("control") for cond in conds for entry in cond or ()], set()
    while pending:
        control = pending.pop()
        if control is not None and id(control) not in seen:
            seen.add(id(control))
            # A control around another one, ours with a strength for each frame, has it as an attribute.
            pending += [control.previous_controlnet, *control.multigpu_clones.values(), getattr(control, INNER, None)]
            yield control


def _masked_in(window: Window, entry: dict) -> dict:
    """Return an entry of a conditioning with the masks of the window's frames.

    The host cuts exactly as many as the video has frames; of more, each window would get the first.
    """
    mask = entry.get("mask")
    if mask is None or len(mask) <= window.total_frames:
        return entry
    return entry | {"mask": mask[list(window.frames)]}


def _cuts_by_itself(control: ControlBase) -> bool:
    """Say whether a control of another pack takes its part of the hints, masks and weights by the window's frames.

    Such controls keep the frames of `ad_params` in `sub_idxs`, by which their packs also know them.
    """
    return hasattr(control, "sub_idxs")


def _count(control: ControlBase) -> int:
    """Return the number of a control's hints."""
    return len(control.cond_hint_original) if isinstance(control.cond_hint_original, Tensor) else 0


@contextlib.contextmanager
def _hints_of(window: Window, controls: list[ControlBase]) -> Iterator[None]:
    """Let the controls with hints for each frame have only the window's; put everything back at the end."""
    cut = [control for control in controls
           if not _cuts_by_itself(control) and _count(control) >= window.total_frames > 1]
    before = [{name: value for name, value in vars(control).items()
               if name in (*MADE_FROM_HINTS, "cond_hint_original")} for control in cut]
    try:
        for control, attributes in zip(cut, before, strict=True):
            vars(control).update(dict.fromkeys(attributes))
            control.cond_hint_original = attributes["cond_hint_original"][list(window.frames)]
        yield
    finally:
        # Also after an interrupt, which is no Exception.
        for control, attributes in zip(cut, before, strict=True):
            vars(control).update(attributes)

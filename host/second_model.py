"""A MODEL with motion in a guider that runs two: each acts with its own motion modules, or the run is refused.

Such a guider, the host's Dual Model CFG Guider, hands the options and wrappers of its first MODEL to both. So a MODEL
asks for its own handlers when a call of it begins. Where both were made from one loaded checkpoint, the host runs the
first one twice, and nothing says which is meant.
"""

from __future__ import annotations

from collections.abc import Callable

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrappersMP
from torch import Tensor

from .patchers import KEY

SAME_CHECKPOINT = (
    "the guider was given two MODELs that come from one loaded checkpoint and do not have the same motion modules. The "
    "host would run both as the first one. Give both the same motion modules, connect one MODEL only, or load the "
    "second one from another file: a copy of the checkpoint will do, since the host loads each file once")


WAITING = f"{KEY}.second"
"""Marks a MODEL, as an attachment, from when it was loaded as a guider's second one until its first call."""


def register(model: ModelPatcher, begin_call: Callable, put_handlers: Callable[[dict], None]) -> None:
    """Let a MODEL run with its motion modules whatever options a guider hands over.

    Args:
        begin_call: The APPLY_MODEL wrapper.
        put_handlers: Adds the handlers to transformer_options.
    """
    def take_part(model: ModelPatcher, timestep: Tensor, model_options: dict) -> None:
        model.remove_attachments(WAITING)
        # They are the run's copy, and end with it; a MODEL without motion does nothing with what is added.
        wrappers = _wrappers(model_options, WrappersMP.APPLY_MODEL)
        if KEY not in wrappers:
            wrappers[KEY] = [begin_call]
            put_handlers(model_options["transformer_options"])

    for kind, callback in ((CallbacksMP.ON_PREPARE_STATE, take_part), (CallbacksMP.ON_DETACH, _displaced)):
        model.remove_callbacks_with_key(kind, KEY)
        model.add_callback_with_key(kind, KEY, callback)
    # Of a second MODEL, the host asks only the wrappers that are in its options.
    _wrappers(model.model_options, WrappersMP.PREPARE_SAMPLING)[WAITING] = [_mark_second]


def _wrappers(model_options: dict, kind: str) -> dict[str, list[Callable]]:
    return model_options.setdefault("transformer_options", {}).setdefault("wrappers", {}).setdefault(kind, {})


def _mark_second(executor, model: ModelPatcher, *args, model_options: dict | None = None, **kwargs):
    """PREPARE_SAMPLING wrapper: a guider has a copy of its first MODEL's options, and none of the second one's."""
    if model_options is model.model_options:
        model.set_attachments(WAITING, True)
    return executor(model, *args, model_options=model_options, **kwargs)


def _displaced(model: ModelPatcher, unpatch_all: bool) -> None:
    """ON_DETACH callback: refuse that a MODEL without motion takes the place of a second one before it has run."""
    # What is detached to free memory is unpatched, too.
    if model.get_attachment(WAITING) and not unpatch_all and model.model.current_patcher is model:
        raise ValueError(SAME_CHECKPOINT)


def check_first(model: ModelPatcher, applied: Callable[[ModelPatcher], tuple]) -> None:
    """Refuse to load a MODEL over a second one that has other motion modules.

    Raises:
        ValueError: There is such a MODEL.
    """
    other = model.model.current_patcher
    if other is None:
        return
    if applied(other) != applied(model):
        raise ValueError(SAME_CHECKPOINT)
    other.remove_attachments(WAITING)

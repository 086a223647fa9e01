"""Nodes of other packs that ComfyUI itself can put one of ours or its own in the place of (its node replacement).

It takes one node for one node, so only those are here that mean the same alone. What has no place in the new node comes
from nodes that are not here: a graph with them is refused by ComfyUI, not changed in silence. `migrate.py` maps whole
graphs.
"""

from __future__ import annotations

import sys
from typing import Any

from comfy_api.latest import ComfyAPI, io

from ..migration.schedules import USE_EXISTING, is_old, schedule_for
from ..migration.shapes import OLD_WIDGETS

REPLACEMENTS: tuple[tuple[str, str, dict[str, str], dict[str, Any], int], ...] = (
    ("ADE_LoadAnimateDiffModel", "AnimateLCM_LoadMotionModule", {"motion_file": "model_name"}, {}, 1),
    ("ADE_ApplyAnimateDiffModelSimple", "AnimateLCM_MotionControl", {"motion_module": "motion_model"},
     {"start_percent": 0.0, "end_percent": 1.0, "strength_curve": ""}, 1),
    ("ADE_ApplyAnimateDiffModel", "AnimateLCM_MotionControl",
     {"motion_module": "motion_model", "start_percent": "start_percent", "end_percent": "end_percent"},
     {"strength_curve": ""}, 1),
    ("ADE_UseEvolvedSampling", "AnimateLCM_ApplyMotionModule",
     {"model": "model", "motion_module": "m_models", "schedule": "beta_schedule"}, {"motion_strength": 1.0}, 1),
    ("ADE_EmptyLatentImageLarge", "EmptyLatentImage",
     {"width": "width", "height": "height", "batch_size": "batch_size"}, {}, 1),
    ("CheckpointLoaderSimpleWithNoiseSelect", "CheckpointLoaderSimple", {"ckpt_name": "ckpt_name"}, {}, 3),
    ("ControlNetLoaderAdvanced", "ControlNetLoader", {"control_net_name": "control_net_name"}, {}, 1),
    ("ACN_ControlNetLoaderAdvanced", "ControlNetLoader", {"control_net_name": "cnet"}, {}, 1),
    ("VHS_VAEDecodeBatched", "VAEDecode", {"samples": "samples", "vae": "vae"}, {}, 1),
    ("VHS_VAEEncodeBatched", "VAEEncode", {"pixels": "pixels", "vae": "vae"}, {}, 1),
)
"""(old id, new id, {new input: old input}, {new input: value}, outputs that mean the same, from the first on).

Only inputs that an old node always has: ComfyUI's server fails on one that is missing. Values arrive as they were, so
that the new node reads the old names (`old_schedule`). No values of
VideoHelperSuite's: its files have them by name, and the editor looks for them by place, so that they would be lost."""


def old_schedule(name: str) -> tuple[str, str] | None:
    """Return the schedule for the beta_schedule of a replaced node, and a line on what it was where that matters.

    None for what is no name of such a schedule.
    """
    if not is_old(name):
        return None
    schedule, difference = schedule_for(name)
    if name == USE_EXISTING:
        difference = "where a checkpoint loader set one with its beta_schedule, choose that here"
    return schedule, f"schedule was {name!r}: {difference}." if difference else ""


async def register_replacements() -> None:
    """Tell ComfyUI of all replacements; one without this interface, or without a server, goes without them."""
    server = getattr(sys.modules.get("server"), "PromptServer", None)
    interface = getattr(ComfyAPI(), "node_replacement", None)
    if interface is None or getattr(server, "instance", None) is None:
        return
    for old, new, taken, fixed, outputs in REPLACEMENTS:
        await interface.register(io.NodeReplace(
            new_node_id=new, old_node_id=old, old_widget_ids=list(OLD_WIDGETS[old]),
            input_mapping=[*({"new_id": name, "old_id": source} for name, source in taken.items()),
                           *({"new_id": name, "set_value": value} for name, value in fixed.items())],
            # The index of an old output as a text: the editor finds the output by it, and the server finds none. It
            # has none to find, as all keep their places, and would fail where what takes the output was replaced too.
            output_mapping=[{"new_idx": index, "old_idx": str(index)} for index in range(outputs)]))

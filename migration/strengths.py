"""How strongly and when a motion module acts: schedules, LoRAs, multivals, percents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .draft import BYPASSED, Draft, Link, Node
from .report import Report
from .schedules import USE_EXISTING, schedule_for

LISTS = {"ADE_MultivalDynamicFloatInput": "float_val", "ADE_MultivalDynamicFloats": "floats"}
"""Multivals of one number for each frame: {kind: input}."""


def schedule_of(draft: Draft, node: Node, motion_file: Any, report: Report) -> str:
    """Return the schedule for a node's beta_schedule."""
    name = draft.value(node, "beta_schedule", "autoselect")
    if name == USE_EXISTING:
        # The old checkpoint loader could set one, which the new one cannot.
        loaders = (other for other in draft.old.values() if other.kind == "CheckpointLoaderSimpleWithNoiseSelect")
        name = next((draft.value(other, "beta_schedule", name) for other in loaders), name)
    schedule, difference = schedule_for(str(name))
    if name == "autoselect" and "lcm" in str(motion_file).lower():
        difference = ("autoselect meant LCM's schedule for this file; here it is the one that AnimateLCM was trained "
                      "with, so that light and colours differ. Set schedule to LCM for the look of before")
    if difference is not None:
        report.differs_at(node, difference)
    return schedule


def with_loras(draft: Draft, node: Node, module: Link, report: Report) -> Link:
    """Put the motion LoRAs that a node has on a module, the first of the chain first."""
    chain = []
    lora = draft.source(node, "motion_lora")
    while lora is not None and lora.kind == "ADE_AnimateDiffLoRALoader":
        if lora.mode == BYPASSED:
            draft.done.add(lora.id)
            report.became(lora, "left out, as it was bypassed")
        else:
            chain.append(lora)
        lora = draft.source(lora, "prev_motion_lora")
    if lora is not None:
        report.not_mapped(lora, "gives motion LoRAs in a way that is not known")
    for lora in reversed(chain):
        file = draft.value(lora, "name", draft.value(lora, "lora_name", ""))
        module = draft.turn(lora, "AnimateLCM_LoadMotionLoRA", {
            "motion_module": module, "lora_file": file, "strength": draft.value(lora, "strength", 1.0)})
        report.became(lora, f"Load Motion LoRA ({module.node})")
    return module


@dataclass(frozen=True)
class Factor:
    """A multival: one number or one for each frame, or a mask as well."""

    number: Any = 1.0
    values: Link | None = None
    """A list with a number for each frame."""
    mask: Link | None = None
    node: Node | None = None


def factor_of(draft: Draft, node: Node, name: str, report: Report) -> Factor:
    """Return what a multival socket says; 1 where it cannot be kept."""
    source = draft.source(node, name)
    if source is None or source.mode == BYPASSED:
        return Factor()
    draft.done.add(source.id)
    if source.kind == "ADE_MultivalDynamic":
        return Factor(draft.value(source, "float_val", 1.0), None, draft.link(source, "mask_optional"), source)
    if source.kind in LISTS:
        return Factor(1.0, draft.link(source, LISTS[source.kind]), draft.link(source, "mask_optional"), source)
    lowest = draft.value(source, "min_float_val", 0.0)
    if (source.kind == "ADE_MultivalScaledMask" and lowest == 0
            and draft.value(source, "scaling", "absolute") == "absolute"):
        return Factor(draft.value(source, "max_float_val", 1.0), None, draft.link(source, "mask"), source)
    report.not_mapped(source, f"{name} of {node.name}: only numbers, and a mask from 0 on, have a counterpart; it is "
                              "left out")
    return Factor()


def controlled(draft: Draft, node: Node, module: Link, report: Report, in_place: bool) -> tuple[Link, Any]:
    """Return a module with the LoRAs, percents and factors of an old node, and its motion_strength.

    Args:
        in_place: Whether the old node's place is free for Motion Control.
    """
    module = with_loras(draft, node, module, report)
    for name, what in (("ad_settings", "changes of positions and weights"), ("ad_keyframes", "key frames over the "
                       "steps"), ("per_block", "factors for each block")):
        if draft.source(node, name) is not None:
            leave(draft, node, name, f"{what} have no counterpart; left out", report)
    module = scaled(draft, node, module, report)
    effect = factor_of(draft, node, "effect_multival", report)
    start, end = draft.value(node, "start_percent", 0.0), draft.value(node, "end_percent", 1.0)
    if (start, end) != (0, 1) or effect.mask is not None or effect.values is not None:
        place = node if in_place else effect.node
        inputs = {"motion_module": module, "start_percent": start, "end_percent": end, "mask": effect.mask,
                  "strength_values": effect.values}
        module = (draft.turn(place, "AnimateLCM_MotionControl", inputs, mode=node.mode) if place is not None
                  else draft.add("AnimateLCM_MotionControl", inputs, node))
        report.became(node, f"Motion Control ({module.node})")
    if effect.node is not None:
        parts = [name for name, part in (("mask", effect.mask), ("strength_values", effect.values)) if part is not None]
        report.became(effect.node, "motion_strength" + (f", {' and '.join(parts)} of Motion Control" if parts else ""))
    return module, effect.number


def scaled(draft: Draft, node: Node, module: Link, report: Report) -> Link:
    """Return a module with the factor on its attention that an old node has: its motion scale."""
    legacy = draft.value(node, "motion_scale", 1.0)
    if legacy != 1:
        module = draft.add("AnimateLCM_AttentionScale", {"motion_module": module, "scale": legacy}, node)
        report.became(node, f"Attention Scale ({module.node})")
    factor = factor_of(draft, node, "scale_multival", report)
    if factor.node is not None:
        module = draft.turn(factor.node, "AnimateLCM_AttentionScale", {
            "motion_module": module, "scale": factor.number, "scale_values": factor.values, "mask": factor.mask},
            mode=node.mode)
        report.became(factor.node, f"Attention Scale ({module.node})")
    return module


def leave(draft: Draft, node: Node, name: str, why: str, report: Report) -> None:
    """Take out all that feeds a socket and has no counterpart, and say so."""
    waiting = [draft.source(node, name)]
    if waiting[0] is not None and not waiting[0].kind.startswith("ADE_"):
        report.not_mapped(node, f"{name}: {why}")
    while waiting:
        source = waiting.pop()
        if source is None or source.id in draft.done or not source.kind.startswith("ADE_"):
            continue
        draft.done.add(source.id)
        report.not_mapped(source, f"{name} of {node.name}: {why}")
        waiting += [draft.source(source, socket) for socket in source.inputs]

"""Context options and sample settings, made into context windows."""

from __future__ import annotations

from typing import Any

from .draft import BYPASSED, Draft, Link, Node
from .report import Report
from .strengths import leave

SCHEDULES = {
    "ADE_StandardStaticContextOptions": "standard_static",
    "ADE_StandardUniformContextOptions": "standard_uniform",
    "ADE_LoopedUniformContextOptions": "looped_uniform",
    "ADE_AnimateDiffUniformContextOptions": "looped_uniform",
    "ADE_BatchedContextOptions": "batched",
}
FUSE_METHODS = ("pyramid", "relative", "flat", "overlap-linear")
DEFAULT_FUSE = {"ADE_LoopedUniformContextOptions": "flat", "ADE_AnimateDiffUniformContextOptions": "flat"}
SETTINGS = {
    "noise_layers": "layers of noise",
    "iteration_opts": "iterations such as FreeInit",
    "custom_cfg": "a cfg that changes over steps or frames",
    "sigma_schedule": "noise schedules of one's own",
    "image_inject": "images put in between steps",
    "ancestral_opts": "options for ancestral noise",
}
"""Inputs of the sample settings that have no counterpart."""
PLAIN = {"batch_offset": (0, "skips noise of the batch"), "seed_gen": ("comfy", "draws other noise for a seed"),
         "seed_offset": (0, "adds to the seed"), "adapt_denoise_steps": (False, "takes fewer steps with denoise")}
"""Values of the sample settings: (what changes nothing, what others do)."""


def add_windows(draft: Draft, node: Node, given: Link, has_module: bool, report: Report) -> None:
    """Let what took the MODEL of an old node take that of windows, as its context options and sample settings say.

    Args:
        given: The MODEL that comes in the place of the old node's.
        has_module: Whether it has a motion module.
    """
    freenoise = _freenoise(draft, node, report)
    options = _options(draft, node, report)
    if options is None:
        if given != Link(node.id):
            draft.move(Link(node.id), given)
        return
    kind, inputs = _windows(draft, options, freenoise, has_module, report)
    windows = draft.turn(options, kind, {"model": given, **inputs}, mode=node.mode)
    draft.move(Link(node.id), windows, but=windows.node)
    name = "Long Video" if kind == "AnimateLCM_LongVideo" else "Context Windows (Manual)"
    report.became(options, f"{name} ({windows.node})")


def _options(draft: Draft, node: Node, report: Report) -> Node | None:
    """Return the context options that a run begins with; of a series only these can be kept."""
    found = []
    source = draft.source(node, "context_options")
    while source is not None:
        if source.kind == "ADE_ContextExtras_Set":
            leave(draft, source, "context_extras", "references between windows have no counterpart; left out", report)
            draft.done.add(source.id)
            report.became(source, "left out: its context options go on without extras")
            source = draft.source(source, "context_opts")
            continue
        if source.kind not in SCHEDULES:
            leave(draft, node, "context_options", "these windows have no counterpart; left out", report)
            return None
        if source.mode != BYPASSED:
            found.append(source)
        source = draft.source(source, "prev_context")
    # The node at the end of a chain is the last of the chain's; of equal starts, the first of the chain is used first.
    found.reverse()
    found.sort(key=lambda entry: _number(draft.value(entry, "start_percent", 0.0)))
    for other in found[1:]:
        draft.done.add(other.id)
        report.not_mapped(other, "windows that change over the steps have no counterpart; those of the first steps are "
                                 "used for all")
    return found[0] if found else None


def _windows(draft: Draft, options: Node, freenoise: bool, has_module: bool, report: Report
             ) -> tuple[str, dict[str, Any]]:
    """Return the new node and its inputs."""
    schedule = SCHEDULES[options.kind]
    length = draft.value(options, "context_length", 16)
    overlap = 0 if schedule == "batched" else draft.value(options, "context_overlap", 4)
    stride = draft.value(options, "context_stride", 1)
    loop = draft.value(options, "closed_loop", False)
    fuse = str(draft.value(options, "fuse_method", DEFAULT_FUSE.get(options.kind, "pyramid")))
    if fuse not in FUSE_METHODS:
        report.differs_at(options, f"fuse_method {fuse!r} is not there; pyramid is used")
        fuse = "pyramid"
    if draft.value(options, "use_on_equal_length", False):
        report.differs_at(options, "use_on_equal_length: a video of no more frames than a window is sampled in one "
                                   "piece")
    if draft.source(options, "view_opts") is not None:
        leave(draft, options, "view_opts", "views have no counterpart; left out", report)
    if has_module and schedule == "standard_static" and fuse == "pyramid" and _fits_long_video(length, overlap):
        return "AnimateLCM_LongVideo", {"context_length": length, "context_overlap": overlap, "loop": False,
                                        "freenoise": freenoise}
    return "ContextWindowsManual", {
        "context_length": length, "context_overlap": overlap, "context_schedule": schedule, "context_stride": stride,
        "closed_loop": loop, "fuse_method": fuse, "freenoise": freenoise}


def _fits_long_video(length: Any, overlap: Any) -> bool:
    """Say whether Long Video takes such windows: of two frames at least, that share some. A link may bring any."""
    return (isinstance(length, Link) or length > 1) and (isinstance(overlap, Link) or overlap > 0)


def _freenoise(draft: Draft, node: Node, report: Report) -> bool:
    """Read the sample settings, and say whether their noise is FreeNoise."""
    settings = draft.source(node, "sample_settings")
    if settings is None or settings.mode == BYPASSED:
        return False
    draft.done.add(settings.id)
    if settings.kind != "ADE_AnimateDiffSamplingSettings":
        report.not_mapped(settings, "sample settings of a kind that is not known; left out")
        return False
    noise = draft.value(settings, "noise_type", "default")
    windows = draft.source(node, "context_options") is not None
    report.became(settings, "freenoise of the context windows" if noise == "FreeNoise" and windows
                  else "the sampler's own noise")
    if noise not in ("default", "FreeNoise"):
        report.not_mapped(settings, f"noise_type {noise!r} has no counterpart; each frame has noise of its own")
    for name, (plain, what) in PLAIN.items():
        value = draft.value(settings, name, plain)
        if value != plain:
            report.not_mapped(settings, f"{name} {value!r} ({what}) has no counterpart")
    if draft.link(settings, "seed_override") is not None:
        report.not_mapped(settings, "seed_override: set the seed in the sampler")
    for name, what in SETTINGS.items():
        if draft.source(settings, name) is not None:
            leave(draft, settings, name, f"{what} have no counterpart; left out", report)
    return bool(noise == "FreeNoise")


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0

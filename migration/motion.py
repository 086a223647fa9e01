"""The loaders and appliers of AnimateDiff-Evolved, of its first and its second generation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .draft import BYPASSED, Draft, Link, Node
from .report import Report
from .sizes import video_size
from .strengths import controlled, leave, schedule_of
from .windows import add_windows

LOADERS = ("ADE_AnimateDiffLoaderGen1", "ADE_AnimateDiffLoaderWithContext", "AnimateDiffLoaderV1",
           "ADE_AnimateDiffLoaderV1Advanced")
APPLIERS = ("ADE_ApplyAnimateDiffModel", "ADE_ApplyAnimateDiffModelSimple", "ADE_ApplyAnimateLCMI2VModel")
FILES = ("ADE_LoadAnimateDiffModel", "ADE_LoadAnimateLCMI2VModel")
REFERENCES = {"ADE_UpscaleAndVAEEncode": "image", "VAEEncode": "pixels"}
"""What gives a reference latent: {kind: its input for the image}."""
FIRST_VERSION = re.compile(r"mm_sd_v1[45]\.")
"""Motion files of AnimateDiff v1."""


def map_motion(draft: Draft, report: Report) -> None:
    """Map all that puts motion modules on a MODEL."""
    for node in list(draft.of_kind("ADE_AnimateDiffUnload")):
        _unload(draft, node, report)
    for node in list(draft.of_kind(*LOADERS)):
        _loader(draft, node, report)
    modules: dict[str, _Module] = {}
    for node in list(draft.of_kind("ADE_UseEvolvedSampling")):
        _evolved(draft, node, modules, report)


def _unload(draft: Draft, node: Node, report: Report) -> None:
    """Let what takes a MODEL without its motion take the MODEL from before it."""
    source = draft.source(node, "model")
    if source is None or source.kind not in (*LOADERS, "ADE_UseEvolvedSampling"):
        report.not_mapped(node, "takes a motion module off a MODEL that other nodes have changed since; connect the "
                                "MODEL from before the motion module by hand")
        return
    draft.done.add(node.id)
    draft.move(Link(node.id), draft.link(source, "model"))
    report.became(node, "the MODEL from before the motion module")


def _loader(draft: Draft, node: Node, report: Report) -> None:
    """Map a node of the first generation, which loads and applies."""
    file = draft.value(node, "model_name", "")
    _note_file(node, file, report)
    module = draft.add("AnimateLCM_LoadMotionModule", {"motion_file": file}, node)
    report.became(node, f"Load Motion Module ({module.node})")
    module, strength = controlled(draft, node, module, report, in_place=False)
    latents = draft.link(node, "latents")
    applied = draft.turn(node, "AnimateLCM_ApplyMotionModule", {
        "model": draft.link(node, "model"), "motion_module": module, "motion_strength": strength,
        "schedule": schedule_of(draft, node, file, report)}, keeps=(0, 1))
    report.became(node, f"Apply Motion Module ({applied.node})")
    if latents is not None:
        draft.move(Link(node.id, 1), latents)
    if node.kind == "ADE_AnimateDiffLoaderV1Advanced":
        _own_windows(draft, node, report)
    else:
        add_windows(draft, node, applied, True, report)


def _own_windows(draft: Draft, node: Node, report: Report) -> None:
    """Put windows behind the oldest loader, which has their settings itself."""
    names = ("context_length", "context_overlap", "context_stride", "closed_loop")
    if draft.value(node, "context_length", 0) == 0:
        return
    inputs = {name: draft.value(node, name) for name in names}
    windows = draft.add("ContextWindowsManual", {"context_schedule": "looped_uniform", "fuse_method": "flat", **inputs},
                        node)
    draft.move(Link(node.id), windows)
    draft.nodes[windows.node].inputs["model"] = Link(node.id)
    report.became(node, f"Context Windows (Manual) ({windows.node})")


@dataclass(frozen=True)
class _Module:
    """A motion module as a node of the second generation hands it on."""

    link: Link
    file: Any
    strength: Any
    image: dict[str, Any]
    """The inputs of Image to Video; none for text to video."""


def _evolved(draft: Draft, node: Node, modules: dict[str, _Module], report: Report) -> None:
    """Map a node of the second generation, which puts a list of motion modules on a MODEL."""
    appliers = []
    source = draft.source(node, "m_models")
    while source is not None:
        if source.kind not in APPLIERS:
            report.not_mapped(node, f"{source.name} has no counterpart; all that belongs to it is left as it was")
            return
        if source.mode != BYPASSED:
            appliers.append(source)
        source = draft.source(source, "prev_m_models")
    model = draft.link(node, "model")
    why = "no MODEL is connected to it" if model is None else next(filter(None, (_why_not(draft, applier) for applier
                                                                                 in appliers)), None)
    if model is None or why is not None:
        report.not_mapped(node, f"{why}; all that belongs to it is left as it was")
        return
    for applier in appliers:
        if applier.id not in modules:
            modules[applier.id] = _module(draft, applier, report)
    for applier in appliers:
        module = modules[applier.id]
        kind = "AnimateLCM_ImageToVideo" if module.image else "AnimateLCM_ApplyMotionModule"
        inputs = {"model": model, "motion_module": module.link, "motion_strength": module.strength,
                  "schedule": schedule_of(draft, node, module.file, report), **module.image}
        # The newest of the list acts first; the last one gives the MODEL.
        model = (draft.turn(node, kind, inputs, keeps=(0,)) if applier is appliers[-1]
                 else draft.add(kind, inputs, node))
        title = "Image to Video" if module.image else "Apply Motion Module"
        report.became(node, f"{title} ({model.node})")
    if not appliers:
        draft.done.add(node.id)
        report.became(node, "left out: no motion module is connected to it")
        if draft.value(node, "beta_schedule") not in (None, "autoselect", "use existing"):
            report.not_mapped(node, "a noise schedule without a motion module: use ComfyUI's ModelSamplingDiscrete")
    add_windows(draft, node, model, bool(appliers), report)


def _why_not(draft: Draft, node: Node) -> str | None:
    """Return why a motion module cannot be mapped; None where it can."""
    source = draft.source(node, "motion_model")
    if source is None or source.kind not in FILES:
        return f"the motion module of {node.name} comes from {source.name if source else 'nowhere'}"
    if node.inputs["motion_model"].output != 0:
        return f"{node.name} takes the image encoder alone, without its motion module"
    if node.kind != "ADE_ApplyAnimateLCMI2VModel":
        return None
    reference = draft.source(node, "ref_latent")
    if reference is None or reference.kind not in REFERENCES:
        return (f"the reference latent of {node.name} comes from neither ADE_UpscaleAndVAEEncode nor VAEEncode, and "
                "Image to Video takes the image itself")
    if video_size(draft, reference, "latent_size") is None:
        return f"the size of the video of {node.name} is not known: connect an Empty Latent Image"
    return None


def _module(draft: Draft, node: Node, report: Report) -> _Module:
    """Map the file and the settings of one motion module, once for all that use it."""
    source = draft.old[draft.at(node, "motion_model")]
    file = draft.value(source, "model_name", "")
    _note_file(source, file, report)
    if draft.source(source, "ad_settings") is not None:
        leave(draft, source, "ad_settings", "changes of positions and weights have no counterpart; left out", report)
    module = Link(source.id)
    if not draft.nodes[source.id].fresh:
        draft.turn(source, "AnimateLCM_LoadMotionModule", {"motion_file": file})
        report.became(source, f"Load Motion Module ({module.node})")
    draft.done.add(node.id)
    link, strength = controlled(draft, node, module, report, in_place=True)
    if link.node != node.id:
        report.became(node, "the sockets of the node that puts it on the MODEL")
    image = _image(draft, node, report) if node.kind == "ADE_ApplyAnimateLCMI2VModel" else {}
    return _Module(link, file, strength, image)


def _image(draft: Draft, node: Node, report: Report) -> dict[str, Any]:
    """Return the inputs of Image to Video for a reference latent."""
    source = draft.old[draft.at(node, "ref_latent")]
    if source.kind == "ADE_UpscaleAndVAEEncode":
        # One that something else takes too stays, and is reported with the rest.
        if draft.takers(source) == 1:
            draft.done.add(source.id)
        report.became(source, "the image and the VAE of Image to Video")
        if draft.value(source, "crop", "center") != "center":
            report.differs_at(source, "the image is not stretched: its middle is cut out where its form differs")
    if draft.value(node, "apply_ref_when_disabled", False):
        report.not_mapped(node, "apply_ref_when_disabled: outside of its percents the image is not followed")
    width, height, frames = video_size(draft, source, "latent_size") or (512, 512, 16)
    return {"vae": draft.link(source, "vae"), "reference_image": draft.link(source, REFERENCES[source.kind]),
            "width": width, "height": height, "num_frames": frames,
            "motion_scale": draft.value(node, "ref_drift", 0.0)}


def _note_file(node: Node, file: Any, report: Report) -> None:
    if FIRST_VERSION.search(str(file)):
        report.differs_at(node, "a file of AnimateDiff v1: it was trained with a normalisation over all frames, and "
                                "runs here with that of each frame, which is close but not the same")

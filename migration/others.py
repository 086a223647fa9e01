"""Loaders, latents, prompts and controls of other packs, and what is left to packs that still exist."""

from __future__ import annotations

from .controls import map_controls
from .draft import Draft, Link, Node
from .report import Report
from .sizes import video_size

GONE = ("IPAdapterApply", "IPAdapterApplyEncoded", "IPAdapterApplyFaceID")
"""Nodes that no pack has any more; all hand on the input `model`."""
PACKS = (
    ("IPAdapter", "ComfyUI_IPAdapter_plus"), ("PrepImageForClipVision", "ComfyUI_IPAdapter_plus"),
    ("InsightFaceLoader", "ComfyUI_IPAdapter_plus"), ("ACN_", "ComfyUI-Advanced-ControlNet"),
    ("LatentKeyframe", "ComfyUI-Advanced-ControlNet"), ("TimestepKeyframe", "ComfyUI-Advanced-ControlNet"),
    ("ControlNetLoaderAdvanced", "ComfyUI-Advanced-ControlNet"), ("VHS_", "ComfyUI-VideoHelperSuite"),
    ("ADE_", "ComfyUI-AnimateDiff-Evolved"), ("CheckpointLoaderSimpleWithNoise", "ComfyUI-AnimateDiff-Evolved"),
    ("AnimateDiffModuleLoader", "comfyui-animatediff"), ("AnimateDiffSampler", "comfyui-animatediff"),
    ("AnimateDiffSlidingWindowOptions", "comfyui-animatediff"), ("AnimateDiffLoraLoader", "comfyui-animatediff"),
    ("AnimateDiffCombine", "comfyui-animatediff"), ("BatchPromptSchedule", "ComfyUI_FizzNodes"),
    ("BatchValueSchedule", "ComfyUI_FizzNodes"), ("PromptSchedule", "ComfyUI_FizzNodes"),
    ("ValueSchedule", "ComfyUI_FizzNodes"),
)
"""(How the ids of a pack's nodes begin, the pack)."""


def map_others(draft: Draft, report: Report) -> None:
    """Map what is neither motion nor video."""
    for node in list(draft.of_kind("ADE_EmptyLatentImageLarge")):
        draft.turn(node, "EmptyLatentImage", {name: draft.value(node, name) for name in
                                              ("width", "height", "batch_size")}, keeps=(0,))
        report.became(node, "Empty Latent Image")
    for node in list(draft.of_kind("CheckpointLoaderSimpleWithNoiseSelect")):
        _checkpoint(draft, node, report)
    for node in list(draft.of_kind("BatchPromptSchedule", "BatchPromptScheduleLatentInput", "ADE_PromptScheduling",
                                   "ADE_PromptSchedulingLatents")):
        _prompts(draft, node, report)
    map_controls(draft, report)


def map_rest(draft: Draft, report: Report) -> None:
    """Let images that gone nodes would follow have no effect, and say what is left of other packs."""
    for node in list(draft.of_kind(*GONE)):
        _bypass(draft, node, report)
    for node in draft.old.values():
        pack = next((pack for start, pack in PACKS if node.kind.startswith(start)), None)
        if pack is not None and node.id not in draft.done and node.name not in report.left:
            report.not_mapped(node, f"left as it was: it needs the pack {pack}")


def _checkpoint(draft: Draft, node: Node, report: Report) -> None:
    draft.turn(node, "CheckpointLoaderSimple", {"ckpt_name": draft.value(node, "ckpt_name", "")}, keeps=(0, 1, 2))
    report.became(node, "Load Checkpoint")
    schedule = draft.value(node, "beta_schedule", "use existing")
    if schedule not in ("use existing", "autoselect"):
        report.differs_at(node, f"beta_schedule {schedule!r} belongs to the checkpoint no more: Apply Motion Module "
                                "sets the schedule of the motion file")
    if draft.value(node, "use_custom_scale_factor", False):
        report.not_mapped(node, "use_custom_scale_factor: latents have Stable Diffusion's own scale")


def _prompts(draft: Draft, node: Node, report: Report) -> None:
    """Map a node that encodes prompts over the frames."""
    frames = draft.value(node, "max_frames", draft.value(node, "max_length", 0))
    if not frames:
        size = video_size(draft, node, "num_latents" if "num_latents" in node.inputs else "latent")
        frames = size[2] if size else None
    if frames is None:
        report.not_mapped(node, "left as it was: the number of frames is not known; connect an Empty Latent Image")
        return
    text = draft.value(node, "text", draft.value(node, "prompts", ""))
    fixed = {"prefix": draft.value(node, "pre_text", draft.value(node, "prepend_text")),
             "suffix": draft.value(node, "app_text", draft.value(node, "append_text"))}
    clip = draft.link(node, "clip")
    draft.turn(node, "AnimateLCM_PromptSchedule", {"text": text, "num_frames": frames, "clip": clip, **fixed},
               keeps=(0, 1, 2))
    report.became(node, "Prompt Schedule")
    is_fizz = node.kind.startswith("Batch")
    if is_fizz and draft.used(node, 1):
        negative = draft.add("CLIPTextEncode", {"clip": clip, "text": ""}, node)
        draft.move(Link(node.id, 1), negative)
        report.differs_at(node, f"its negative prompts are one empty prompt ({negative.node})")
    latents = draft.link(node, "num_latents" if is_fizz else "latent")
    if latents is not None:
        draft.move(Link(node.id, 2 if is_fizz else 1), latents)
    if isinstance(text, str) and ("`" in text or "--neg" in text):
        report.not_mapped(node, "formulas (`...`) and --neg are not read in Prompt Schedule: write numbers, and "
                                "negative prompts in a node of their own")


def _bypass(draft: Draft, node: Node, report: Report) -> None:
    """Let the MODEL pass by a node that follows an image, and put the nodes to rest that feed it alone."""
    report.not_mapped(node, "the image has no effect: no pack has this node any more, and it is passed by. For the "
                            "effect, install ComfyUI_IPAdapter_plus, which works beside this pack, and put IPAdapter "
                            "Advanced in its place")
    draft.rest(node, "model")
    feeding = [draft.source(node, name) for name in node.inputs]
    while feeding:
        source = feeding.pop()
        if source is None or not any(source.kind.startswith(start) for start, _ in PACKS) or draft.awaited(source):
            continue
        draft.rest(source, None)
        report.not_mapped(source, f"put to rest with {node.name}, which it feeds")
        feeding += [draft.source(source, name) for name in source.inputs]

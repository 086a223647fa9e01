"""The nodes of VideoHelperSuite, made into ComfyUI's own for videos."""

from __future__ import annotations

from typing import Any

from .draft import Draft, Link, Node
from .report import Report

COMBINERS = ("VHS_VideoCombine", "ADE_AnimateDiffCombine")
LOADERS = ("VHS_LoadVideo", "VHS_LoadVideoPath")
WEBM = {"video/webm": "vp9", "video/av1-webm": "av1"}
ALL_FRAMES = 4096
"""As many as Get Image from Batch can give."""


def map_videos(draft: Draft, report: Report) -> None:
    """Map what loads, saves and counts frames."""
    for node in list(draft.of_kind(*COMBINERS)):
        _combine(draft, node, report)
    for node in list(draft.of_kind(*LOADERS)):
        _load(draft, node, report)
    for node in list(draft.of_kind("VHS_VAEDecodeBatched", "VHS_VAEEncodeBatched")):
        kind, socket = ("VAEDecode", "samples") if node.kind == "VHS_VAEDecodeBatched" else ("VAEEncode", "pixels")
        draft.turn(node, kind, {socket: draft.link(node, socket), "vae": draft.link(node, "vae")}, keeps=(0,))
        report.became(node, kind)
    for node in list(draft.of_kind("VHS_DuplicateImages")):
        images = draft.turn(node, "RepeatImageBatch", {
            "image": draft.link(node, "images"), "amount": draft.value(node, "multiply_by", 1)}, keeps=(0, 1))
        _count(draft, node, 1, images)
        report.became(node, "Repeat Image Batch")
    for node in list(draft.of_kind("VHS_GetImageCount")):
        size = draft.turn(node, "GetImageSize", {"image": draft.link(node, "images")}, keeps=(0,))
        draft.move(Link(node.id, 0), Link(size.node, 2))
        report.became(node, "Get Image Size")


def _combine(draft: Draft, node: Node, report: Report) -> None:
    """Map a node that saves frames as a video or a moving picture."""
    images, vae = draft.link(node, "images"), draft.link(node, "vae")
    if vae is not None:
        images = draft.add("VAEDecode", {"samples": images, "vae": vae}, node)
    form = str(draft.value(node, "format", "video/h264-mp4"))
    rate = draft.value(node, "frame_rate", 8)
    rate = float(rate) if isinstance(rate, (int, float)) else rate
    saved = {"filename_prefix": draft.value(node, "filename_prefix", "AnimateDiff")}
    if form in WEBM:
        draft.turn(node, "SaveWEBM", {"images": images, "codec": WEBM[form], "fps": rate, **saved})
        report.became(node, "Save WEBM")
    elif form == "image/webp":
        draft.turn(node, "SaveAnimatedWEBP", {"images": images, "fps": rate, **saved})
        report.became(node, "Save Animated WEBP")
    else:
        video = draft.add("CreateVideo", {"images": images, "audio": draft.link(node, "audio"), "fps": rate}, node)
        draft.turn(node, "SaveVideo", {"video": video, **saved})
        report.became(node, f"Create Video ({video.node}), Save Video ({node.id})")
    _note_combine(draft, node, form, rate, report)


def _note_combine(draft: Draft, node: Node, form: str, rate: Any, report: Report) -> None:
    """Say what of the saved file differs."""
    if form in ("image/gif", "image/apng") or (form.startswith("video/") and form not in (*WEBM, "video/h264-mp4")):
        report.differs_at(node, f"{form} is not among ComfyUI's own formats; the video is an .mp4 with h264")
    if form in (*WEBM, "image/webp") and draft.link(node, "audio") is not None:
        report.differs_at(node, f"{form} is saved without the sound")
    if isinstance(rate, Link):
        report.differs_at(node, "frame_rate comes by a link, which has to be of the type FLOAT")
    if isinstance(rate, float) and not 1 <= rate <= 120 and form not in (*WEBM, "image/webp"):
        report.differs_at(node, f"frame_rate {rate}: Create Video takes 1 to 120")
    if draft.value(node, "pingpong", False):
        report.not_mapped(node, "pingpong: the frames do not run back")
    if draft.value(node, "loop_count", 0):
        report.differs_at(node, "loop_count: how often it is repeated is up to the player")
    if not draft.value(node, "save_output", draft.value(node, "save_image", True)):
        report.differs_at(node, "save_output off: the video is saved in the output folder, not in temp")
    if draft.link(node, "meta_batch") is not None:
        report.not_mapped(node, "meta_batch: all frames are in memory at once")
    if draft.used(node, 0):
        report.not_mapped(node, "its output (the names of files) has no counterpart; what took it has lost it")


def _load(draft: Draft, node: Node, report: Report) -> None:
    """Map a node that loads a video: its frames, cut and scaled."""
    file = draft.value(node, "video", "")
    if node.kind == "VHS_LoadVideoPath" and isinstance(file, str):
        report.differs_at(node, f"Load Video takes files of ComfyUI's input folder: copy {file} there")
        file = file.replace("\\", "/").rpartition("/")[2]
    # Its first output was the frames, which come from further down now.
    video = draft.turn(node, "LoadVideo", {"file": file}, keeps=(0, 1, 2))
    parts = draft.add("GetVideoComponents", {"video": video}, node)
    report.became(node, f"Load Video ({video.node}), Get Video Components ({parts.node})")
    images = _scaled(draft, node, _cut(draft, node, parts, report), report)
    draft.move(Link(node.id, 0), images, but=parts.node)
    _count(draft, node, 1, images)
    draft.move(Link(node.id, 2), Link(parts.node, 1))
    if images != parts and draft.used(node, 2) and _cut_at(draft, node) != (0, 0):
        report.differs_at(node, "the sound is that of the whole video")
    if draft.used(node, 3):
        draft.move(Link(node.id, 3), None)
        report.not_mapped(node, "video_info has no counterpart: Get Video Components gives the frame rate, Get Image "
                                "Size the size; what took it has lost it")
    if draft.link(node, "meta_batch") is not None or draft.link(node, "vae") is not None:
        report.not_mapped(node, "meta_batch and vae: all frames are in memory at once, as images")


def _cut_at(draft: Draft, node: Node) -> tuple[Any, Any]:
    """Return how many frames are skipped, and how many are taken at most (0: all)."""
    return draft.value(node, "skip_first_frames", 0), draft.value(node, "frame_load_cap", 0)


def _cut(draft: Draft, node: Node, images: Link, report: Report) -> Link:
    skip, cap = _cut_at(draft, node)
    if draft.value(node, "force_rate", 0):
        report.not_mapped(node, f"force_rate {draft.value(node, 'force_rate')}: the frames are the file's own; change "
                                "its frame rate before")
    if draft.value(node, "select_every_nth", 1) != 1:
        report.not_mapped(node, "select_every_nth: every frame is taken")
    if (skip, cap) == (0, 0):
        return images
    cut = draft.add("ImageFromBatch", {"image": images, "batch_index": skip, "length": cap or ALL_FRAMES}, node)
    report.became(node, f"Get Image from Batch ({cut.node})")
    return cut


def _scaled(draft: Draft, node: Node, images: Link, report: Report) -> Link:
    width, height = draft.value(node, "custom_width", 0), draft.value(node, "custom_height", 0)
    form = draft.value(node, "force_size")
    if isinstance(form, str) and form != "Custom":
        sides = form.split("x")
        if form == "Disabled":
            width = height = 0
        elif not (len(sides) == 2 and any(side.isdecimal() for side in sides)):
            report.not_mapped(node, f"force_size {form!r}: the frames keep their size")
            width = height = 0
        elif not (form.startswith("Custom") or "Custom" in form):
            width, height = (int(side) if side.isdecimal() else 0 for side in sides)
    if (width, height) == (0, 0):
        return images
    # ComfyUI too takes 0 for the side that follows from the other.
    scaled = draft.add("ImageScale", {"image": images, "width": width, "height": height}, node)
    report.became(node, f"Upscale Image ({scaled.node})")
    return scaled


def _count(draft: Draft, node: Node, output: int, images: Link) -> None:
    """Let what takes a number of frames count the images."""
    if draft.used(node, output):
        size = draft.add("GetImageSize", {"image": images}, node)
        draft.move(Link(node.id, output), Link(size.node, 2))

"""How large a video is, read from the empty latent that it begins with."""

from __future__ import annotations

from typing import Any

from .draft import Draft, Node

EMPTY = ("EmptyLatentImage", "ADE_EmptyLatentImageLarge")


def video_size(draft: Draft, node: Node, socket: str) -> tuple[Any, Any, Any] | None:
    """Return (width, height, frames) of the latent at a socket, else of the graph's only empty latent."""
    source = draft.source(node, socket)
    if source is None or source.kind not in EMPTY:
        every = [other for other in draft.old.values() if other.kind in EMPTY]
        if len(every) != 1:
            return None
        source = every[0]
    return (draft.value(source, "width", 512), draft.value(source, "height", 512),
            draft.value(source, "batch_size", 1))

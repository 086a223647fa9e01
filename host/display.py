"""Short texts on a node in the web page."""

from __future__ import annotations

import sys

from comfy_api.latest import io


def show_text(node: type[io.ComfyNode], text: str) -> None:
    """Show text on the node that is being executed; its schema must list `io.Hidden.unique_id`."""
    show_text_at(node_id_of(node), text)


def node_id_of(node: type[io.ComfyNode]) -> str | None:
    """Return the id of the node that is being executed, in the graph; None where a script calls it directly."""
    return getattr(node.hidden, "unique_id", None)


def show_text_at(node_id: str | None, text: str) -> None:
    """Show text on a node of the graph, on the page that has queued the run.

    Does nothing without one: for a script that calls a node directly, or a prompt that came without a page.
    """
    # Importing the host's server module would start loading all of its nodes.
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    page = getattr(server, "client_id", None)
    # To no page would be to all, where others have nodes with the same ids.
    if server is not None and node_id is not None and page is not None:
        server.send_progress_text(text, node_id, page)

"""What can be wrong with a workflow, and how its nodes are named then."""

from __future__ import annotations

from typing import Any


class WorkflowError(ValueError):
    """A workflow file cannot be used with this server."""


def name_of(node_id: object, node: dict[str, Any]) -> str:
    """Return a node's name for messages, such as `node 5 (CLIPTextEncode)`."""
    kind = node.get("class_type", node.get("type"))
    return f"node {node_id} ({kind})" if isinstance(kind, str) else f"node {node_id}"

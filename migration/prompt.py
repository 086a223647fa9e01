"""A prompt in API format: read into a draft, and written with what a draft has become."""

from __future__ import annotations

import copy
from typing import Any

from .draft import Draft, Link, Node
from .shapes import Shape


def read_prompt(workflow: dict[str, Any]) -> Draft:
    """Return the draft of a prompt whose form `client.workflow` has checked."""
    nodes = {}
    for node_id, raw in workflow.items():
        meta = raw.get("_meta")
        title = meta.get("title") if isinstance(meta, dict) else None
        inputs = {name: Link(str(value[0]), value[1]) if _is_link(value) else value
                  for name, value in raw["inputs"].items()}
        nodes[node_id] = Node(node_id, raw["class_type"], inputs, title=title, raw=raw)
    return Draft(nodes, has_modes=False)


def write_prompt(draft: Draft, shapes: dict[str, Shape]) -> dict[str, Any]:
    """Return the prompt that a draft has become, of new nodes with these shapes."""
    return {node.id: _written(node, shapes) for node in draft.nodes.values()}


def _written(node: Node, shapes: dict[str, Shape]) -> dict[str, Any]:
    inputs = {name: list(value) if isinstance(value, Link) else copy.deepcopy(value)
              for name, value in node.inputs.items()}
    if not node.fresh:
        return copy.deepcopy(node.raw) | {"inputs": inputs}
    defaults = {name: default for name, (_, default) in shapes[node.kind].widgets.items()}
    return {"class_type": node.kind, "inputs": defaults | inputs, "_meta": {"title": node.kind}}


def _is_link(value: Any) -> bool:
    return (isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int))
            and type(value[1]) is int)

"""The templates that come with a ComfyUI, and what the editor makes of them as a prompt, written down in short."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

from ...client.texts import is_link

PACKAGE = "comfyui_workflow_templates_json"
LONG = 12
"""So many digits of a digest tell a few hundred templates apart."""


def installed() -> dict[str, Path]:
    """Return the graphs among the installed templates, {file name: path}."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        return {}
    files = sorted((Path(package.origin).parent / "templates").glob("*.json"))
    return {path.name: path for path in files if b'"nodes"' in path.read_bytes()}


def digest_of(content: bytes) -> str:
    """Return a short digest."""
    return hashlib.sha256(content).hexdigest()[:LONG]


def digest_of_prompt(prompt: dict[str, Any], described: dict[str, Any]) -> str:
    """Return a short digest of all that the server runs of a prompt, whatever the ids of its nodes are.

    The editor numbers nodes of subgraphs anew where an id is there twice. What no output needs does not run, and inputs
    that the server does not know, such as buttons, it does not read.
    """
    known: dict[str, str] = {}

    def of_node(node_id: str) -> str:
        if node_id not in known:
            known[node_id] = "itself"
            node = prompt[node_id]
            listed = described[node["class_type"]].get("input") or {}
            names = {name for group in ("required", "optional") for name in listed.get(group) or {}}
            inputs = {name: [of_node(value[0]), value[1]] if is_link(value) else _plain(value)
                      for name, value in node["inputs"].items() if name.partition(".")[0] in names}
            known[node_id] = digest_of(json.dumps([node["class_type"], inputs], sort_keys=True).encode())
        return known[node_id]

    outputs = [node_id for node_id, node in prompt.items() if described[node["class_type"]].get("output_node")]
    return digest_of(" ".join(sorted(map(of_node, outputs))).encode())


def _plain(value: Any) -> Any:
    """Return a value with 1.0 as 1, which the editor does not tell apart."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return value

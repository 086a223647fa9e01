"""Workflow files: from the editor's graph to the prompt that the server runs, and values put into a prompt.

The editor saves a graph: nodes with positions, links, and a bare list of widget values. The server runs a prompt,
{node id: {class_type, inputs}}. Which value of the list belongs to which input is known to the server only, which
describes its nodes at /object_info.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MUTED, BYPASSED = 2, 4
NOTES = ("Note", "MarkdownNote")
WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR")
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
SEEDS = ("seed", "noise_seed")
# Options of an input for which the editor shows, and saves, one more widget.
COMPANIONS = ("control_after_generate", "image_upload", "video_upload", "audio_upload")
PROMPT_SCHEDULE = "AnimateLCM_PromptSchedule"


class WorkflowError(ValueError):
    """A workflow file cannot be used with this server."""


def load(path: Path) -> dict[str, Any]:
    """Read a workflow file, graph or prompt.

    Raises:
        WorkflowError: It is neither.
    """
    try:
        workflow = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise WorkflowError(f"{path} is not a JSON file: {error}") from None
    if not isinstance(workflow, dict) or not (is_graph(workflow) or is_prompt(workflow)):
        raise WorkflowError(f"{path} is neither a workflow saved by the editor nor a prompt in API format")
    return workflow


def is_graph(workflow: dict[str, Any]) -> bool:
    """Say whether a workflow is a graph as the editor saves it."""
    return isinstance(workflow.get("nodes"), list)


def is_prompt(workflow: dict[str, Any]) -> bool:
    """Say whether a workflow is a prompt in API format."""
    return bool(workflow) and all(isinstance(node, dict) and "class_type" in node for node in workflow.values())


def to_prompt(workflow: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """Return the prompt of a workflow; one that is a prompt already is copied.

    Args:
        object_info: The server's description of its nodes.

    Raises:
        WorkflowError: The server lacks a node, or the graph uses something that only the editor can resolve.
    """
    return _Graph(workflow, object_info).prompt() if is_graph(workflow) else copy.deepcopy(workflow)


class _Graph:
    """A graph with its links looked up."""

    def __init__(self, workflow: dict[str, Any], object_info: dict[str, Any]) -> None:
        self.nodes = {str(node["id"]): node for node in workflow["nodes"]}
        self.links = dict(_link(link) for link in workflow.get("links", []))
        self.object_info = object_info

    def prompt(self) -> dict[str, Any]:
        prompt = {}
        for node_id, node in self.nodes.items():
            kind = node["type"]
            if kind in (*NOTES, "Reroute", "PrimitiveNode") or node.get("mode") in (MUTED, BYPASSED):
                continue
            if kind not in self.object_info:
                raise WorkflowError(f"node {node_id} is a {kind}, which this server does not have: the node pack it "
                                    "belongs to is missing or too old. (A subgraph has to be unpacked in the editor.)")
            title = node.get("title") or self.object_info[kind].get("display_name") or kind
            prompt[node_id] = {"class_type": kind, "inputs": self._inputs(node), "_meta": {"title": title}}
        return prompt

    def _inputs(self, node: dict[str, Any]) -> dict[str, Any]:
        values = widget_values(node.get("widgets_values") or [], self.object_info[node["type"]]["input"])
        for socket in node.get("inputs", []):
            if socket.get("link") is not None:
                source = self._source(socket["link"])
                if source is not None:
                    values[socket["name"]] = source
        return values

    def _source(self, link: int) -> Any:
        """Return [node id, output] that feeds a link, the value of a primitive, or None where nothing arrives."""
        node_id, output = self.links[link]
        node = self.nodes[node_id]
        if node["type"] == "PrimitiveNode":
            return node["widgets_values"][0]
        if node.get("mode") == MUTED:
            return None
        if node["type"] == "Reroute" or node.get("mode") == BYPASSED:
            passed = self._passed_on(node, output)
            return None if passed is None else self._source(passed)
        return [node_id, output]

    def _passed_on(self, node: dict[str, Any], output: int) -> int | None:
        """Return the link that a node without effect hands on: from the input of its type, in the same place if so."""
        inputs = node.get("inputs", [])
        if node["type"] == "Reroute":
            return inputs[0].get("link")
        wanted = node["outputs"][output]["type"]
        for socket in inputs[output:output + 1] + inputs:
            if socket["type"] == wanted and socket.get("link") is not None:
                return socket["link"]
        return None


def _link(link: list[Any] | dict[str, Any]) -> tuple[int, tuple[str, int]]:
    """Return (link id, (source node, output)) of either shape in which the editor saves links."""
    if isinstance(link, dict):
        return link["id"], (str(link["origin_id"]), link["origin_slot"])
    return link[0], (str(link[1]), link[2])


def widget_values(values: list[Any] | dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """Return {input: value} of a node's saved widget values.

    Values that the file lacks, because it is older than the node, are the node's defaults.

    Args:
        values: As saved: in the order of the widgets, or by name.
        described: The node's inputs as the server describes them, {"required": {...}, "optional": {...}}.
    """
    if isinstance(values, dict):
        return {name: value for name, value in values.items() if name in {entry[0] for entry in _each(described)}}
    widgets = _read_widgets(enumerate(values), described, "")
    return {name: value for name, _, value in widgets if value is not None}


def with_values(workflow: dict[str, Any], prompt: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """Return a graph with the values of a prompt that was made from it, so that a saved file tells what made it."""
    workflow = copy.deepcopy(workflow)
    for node in workflow["nodes"]:
        values = node.get("widgets_values")
        if str(node["id"]) not in prompt or not isinstance(values, list):
            continue
        inputs = prompt[str(node["id"])]["inputs"]
        for name, place, _ in list(_read_widgets(enumerate(values), object_info[node["type"]]["input"], "")):
            if place is not None and name in inputs and not _is_link(inputs[name]):
                values[place] = inputs[name]
    return workflow


def _read_widgets(rest: Iterator[tuple[int, Any]], described: dict[str, Any],
                  prefix: str) -> Iterator[tuple[str, int | None, Any]]:
    """Yield (input, place in the list, value); the place is None for a default that the list lacks."""
    for name, kind, options in _each(described):
        if not _is_widget(kind, options):
            continue
        choices = kind if isinstance(kind, list) else options.get("options", [])
        keys = [choice["key"] for choice in choices] if kind == DYNAMIC_COMBO else choices
        place, value = next(rest, (None, options.get("default", keys[0] if keys else None)))
        yield prefix + name, place, value
        if _has_companion(name, kind, options):
            next(rest, None)
        if kind == DYNAMIC_COMBO:
            chosen = next((choice for choice in choices if choice["key"] == value), {"inputs": {}})
            yield from _read_widgets(rest, chosen["inputs"], f"{prefix}{name}.")


def _has_companion(name: str, kind: Any, options: dict[str, Any]) -> bool:
    """Say whether the editor shows, and saves, one more widget behind an input's own."""
    # A number of such a name is a seed to the editor, unless the node says that it is none.
    known = {"control_after_generate": kind == "INT" and name in SEEDS} | options
    return any(known.get(companion) for companion in COMPANIONS)


def _each(described: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for group in ("required", "optional"):
        for name, (kind, *options) in (described.get(group) or {}).items():
            yield name, kind, options[0] if options else {}


def _is_widget(kind: Any, options: dict[str, Any]) -> bool:
    return (isinstance(kind, list) or kind in (*WIDGET_TYPES, DYNAMIC_COMBO)) and not options.get("forceInput")


def set_text(prompt: dict[str, Any], text: str) -> None:
    """Write `text` into every node from which a sampler's positive conditioning comes.

    Raises:
        WorkflowError: There is none.
    """
    starts = [node["inputs"]["positive"] for node in prompt.values() if _is_link(node["inputs"].get("positive"))]
    pending, seen, found = [link[0] for link in starts], set(), 0
    while pending:
        node_id = pending.pop()
        if node_id in seen:
            continue
        seen.add(node_id)
        inputs = prompt[node_id]["inputs"]
        if isinstance(inputs.get("text"), str):
            inputs["text"] = as_schedule(text) if prompt[node_id]["class_type"] == PROMPT_SCHEDULE else text
            found += 1
        else:
            # Nodes that take both conditionings hand the positive one through.
            names = ("positive",) if "positive" in inputs else inputs
            pending += [inputs[name][0] for name in names if _is_link(inputs[name])]
    if not found:
        raise WorkflowError("this workflow has no text node behind a `positive` input; set the value by node instead")


def as_schedule(text: str) -> str:
    """Return a prompt as a schedule for all frames; a text that begins with a frame number and a colon is one."""
    if re.match(r'\s*"?\d+"?[ \t]*:', text):
        return text
    return '0: "{}"'.format(text.replace('"', '\\"'))


def set_seed(prompt: dict[str, Any], seed: int) -> None:
    """Write a seed into every input of the prompt that is one.

    Raises:
        WorkflowError: There is none.
    """
    places = [(node["inputs"], name) for node in prompt.values() for name in SEEDS
              if isinstance(node["inputs"].get(name), int)]
    if not places:
        raise WorkflowError("this workflow has no seed")
    for inputs, name in places:
        inputs[name] = seed


def set_value(prompt: dict[str, Any], assignment: str) -> None:
    """Set one input from NODE.INPUT=VALUE, where NODE is an id, a title or a class.

    The value is read as JSON where it is JSON, else taken as text.

    Raises:
        WorkflowError: No node, or no such input, or a text of another form.
    """
    place, equals, text = assignment.partition("=")
    node, dot, name = place.rpartition(".")
    if not (equals and dot):
        raise WorkflowError(f"expected NODE.INPUT=VALUE, such as KSampler.steps=8, got {assignment!r}")
    chosen = [entry for node_id, entry in prompt.items()
              if node in (node_id, entry["class_type"], entry.get("_meta", {}).get("title"))]
    if not chosen:
        raise WorkflowError(f"the workflow has no node {node!r}")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    for entry in chosen:
        if name not in entry["inputs"]:
            raise WorkflowError(f"{entry['class_type']} has no input {name!r}; it has {', '.join(entry['inputs'])}")
        entry["inputs"][name] = value


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)

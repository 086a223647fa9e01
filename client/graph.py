"""The editor's graph made into the prompt that the server runs, and a prompt's values put back into its graph."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .levels import BYPASSED, MUTED, PRIMITIVE, Level, read_levels, sockets
from .problems import WorkflowError
from .sources import NOTES, REROUTE, Held, Widget, overridden, source
from .texts import is_link
from .widgets import as_value, inputs_of, plain_value, read_widgets

__all__ = ["BYPASSED", "MUTED", "check_graph", "graph_to_prompt", "with_values"]


def graph_to_prompt(workflow: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """Return the prompt of a graph, with the nodes of a subgraph under ids such as `5:12`, as the editor has them.

    Raises:
        WorkflowError: The server lacks a node, the graph is broken, or only the editor can resolve it.
    """
    prompt = {}
    for level, node_id in _running(workflow):
        node = level.nodes[node_id]
        described = _described(level, node_id, object_info)
        inputs = {name: as_value(found.value) if isinstance(found, Held) else found
                  for name, found in _inputs(level, node_id, object_info).items()}
        title = node.get("title") or described.get("display_name") or node["type"]
        prompt[level.path + node_id] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": str(title)}}
    return prompt


def check_graph(workflow: dict[str, Any]) -> None:
    """Refuse a graph whose nodes or links have a form that no editor saves.

    Raises:
        WorkflowError: Something in it is no node or no link.
    """
    read_levels(workflow)


def with_values(workflow: dict[str, Any], prompt: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """Return a graph with the values of a prompt that was made from it, so that a saved file tells what made it.

    A place that several inputs take their value from, such as a primitive or a subgraph that stands in the graph twice,
    keeps its own where they differ now: it cannot say both.
    """
    workflow = copy.deepcopy(workflow)
    places: dict[tuple[int, Any], tuple[Held, list[Any]]] = {}
    for level, node_id in _running(workflow):
        inputs = prompt.get(level.path + node_id, {}).get("inputs", {})
        for name, found in _inputs(level, node_id, object_info).items() if inputs else ():
            if isinstance(found, Held) and found.place is not None and name in inputs and not is_link(inputs[name]):
                _, values = places.setdefault((id(found.values), found.place), (found, []))
                values.append(plain_value(inputs[name]))
    for held, values in places.values():
        if all(value == values[0] for value in values):
            held.values[held.place] = values[0]
    return workflow


def _running(workflow: dict[str, Any]) -> Iterator[tuple[Level, str]]:
    """Yield the nodes that the server gets to see."""
    for level, node_id in read_levels(workflow).running():
        if level.nodes[node_id]["type"] not in (*NOTES, REROUTE, PRIMITIVE):
            yield level, node_id


def _described(level: Level, node_id: str, object_info: dict[str, Any]) -> dict[str, Any]:
    """Return the server's description of a node."""
    kind = level.nodes[node_id]["type"]
    if kind not in object_info:
        raise WorkflowError(f"node {level.path}{node_id} is a {kind}, which this server does not have: the node pack "
                            "it belongs to is missing or too old")
    return object_info[kind]


def _inputs(level: Level, node_id: str, object_info: dict[str, Any]) -> dict[str, Held | list[Any]]:
    """Return what a node's inputs get: a value with its place in the file, or a link."""
    found: dict[str, Held | list[Any]] = dict(_own_values(level, node_id, object_info))
    for name in found:
        found[name] = overridden(level, node_id, name) or found[name]
    for socket in sockets(level.nodes[node_id]):
        feeding = source(level, node_id, socket)
        if isinstance(feeding, Widget):
            feeding = _own_values(feeding.level, feeding.node_id, object_info).get(feeding.name)
        if feeding is not None:
            found[socket["name"]] = feeding
    return found


def _own_values(level: Level, node_id: str, object_info: dict[str, Any]) -> dict[str, Held]:
    """Return the values that a node itself holds."""
    node = level.nodes[node_id]
    described = _described(level, node_id, object_info).get("input") or {}
    values = node.get("widgets_values") or []
    with _naming(level, node_id):
        _check_order(node, described)
        return {saved.name: Held(saved.value, values, saved.place) for saved in read_widgets(values, described)
                if saved.value is not None}


@contextmanager
def _naming(level: Level, node_id: str) -> Iterator[None]:
    """Put a node's name in front of the errors of a block, and what helps behind."""
    try:
        yield
    except WorkflowError as error:
        raise WorkflowError(f"{level.name(node_id)}: {error}. Open the file in the editor of this server and save it "
                            "anew, or save it there with Export (API)") from None


def _check_order(node: dict[str, Any], described: dict[str, Any]) -> None:
    """Refuse a node whose widgets the file lists in another order than the server's, or with one more in between."""
    listed = [socket["widget"].get("name") for socket in sockets(node) if isinstance(socket.get("widget"), dict)]
    known = [entry.name for group in inputs_of(described) for entry in group if entry.is_widget]
    places = [known.index(name) if name in known else None for name in listed
              if isinstance(name, str) and "." not in name]
    while places and places[-1] is None:
        # What only the editor has stands at the end.
        places.pop()
    if places != sorted(place for place in places if place is not None):
        raise WorkflowError(f"the file lists its widgets as {', '.join(map(str, listed))}, this server as "
                            f"{', '.join(known)}")

"""The editor's graph made into the prompt that the server runs, and a prompt's values put back into its graph."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .problems import WorkflowError, name_of
from .texts import is_link
from .widgets import inputs_of, read_widgets, widget_values

MUTED, BYPASSED = 2, 4
NOTES = ("Note", "MarkdownNote")
REROUTE, PRIMITIVE = "Reroute", "PrimitiveNode"


def graph_to_prompt(workflow: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """Return the prompt of a graph.

    Raises:
        WorkflowError: The server lacks a node, the graph is broken, or only the editor can resolve it.
    """
    graph = _Graph(workflow, object_info)
    return {node_id: graph.entry(node_id, node) for node_id, node in graph.nodes.items() if graph.runs(node)}


def check_graph(workflow: dict[str, Any]) -> None:
    """Refuse a graph whose nodes or links have a form that no editor saves.

    Raises:
        WorkflowError: Something in it is no node or no link.
    """
    _Graph(workflow, {})


def with_values(workflow: dict[str, Any], prompt: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """Return a graph with the values of a prompt that was made from it, so that a saved file tells what made it."""
    workflow = copy.deepcopy(workflow)
    graph = _Graph(workflow, object_info)
    shared = defaultdict(list)
    for node_id, node in graph.nodes.items():
        if node_id not in prompt:
            continue
        inputs = prompt[node_id]["inputs"]
        values = node.get("widgets_values")
        if isinstance(values, list):
            for saved in graph.widgets(node_id, node):
                if saved.place is not None and saved.name in inputs and not is_link(inputs[saved.name]):
                    values[saved.place] = inputs[saved.name]
        for name, primitive in graph.primitives(node_id, node):
            if name in inputs and not is_link(inputs[name]):
                shared[primitive].append(inputs[name])
    for primitive, values in shared.items():
        # One that feeds inputs that differ now keeps its value: it cannot say both.
        if all(value == values[0] for value in values):
            graph.nodes[primitive]["widgets_values"][0] = values[0]
    return workflow


class _Graph:
    """A graph with its links looked up, and its form checked."""

    def __init__(self, workflow: dict[str, Any], object_info: dict[str, Any]) -> None:
        self.object_info = object_info
        self.nodes: dict[str, dict[str, Any]] = {}
        for node in workflow["nodes"]:
            _check(node)
            if str(node["id"]) in self.nodes:
                raise WorkflowError(f"two nodes have the id {node['id']}; save the file anew in the editor")
            self.nodes[str(node["id"])] = node
        links = workflow.get("links") or []
        if not isinstance(links, list):
            raise WorkflowError(f"the workflow's links are no list: {links!r:.100}")
        self.links = dict(_link(link) for link in links if link is not None)
        self.subgraphs = _subgraphs(workflow)

    def runs(self, node: dict[str, Any]) -> bool:
        """Say whether the server gets to see a node."""
        return (node["type"] not in (*NOTES, REROUTE, PRIMITIVE)) and node.get("mode") not in (MUTED, BYPASSED)

    def entry(self, node_id: str, node: dict[str, Any]) -> dict[str, Any]:
        """Return a node as the prompt has it."""
        kind = node["type"]
        if kind in self.subgraphs:
            raise WorkflowError(f"node {node_id} is the subgraph {self.subgraphs[kind]!r}, which only the editor can "
                                "resolve: unpack it there, or save the workflow with Export (API)")
        if kind not in self.object_info:
            raise WorkflowError(f"node {node_id} is a {kind}, which this server does not have: the node pack it "
                                "belongs to is missing or too old. (A subgraph has to be unpacked in the editor.)")
        title = node.get("title") or self.object_info[kind].get("display_name") or kind
        return {"class_type": kind, "inputs": self._inputs(node_id, node), "_meta": {"title": str(title)}}

    def widgets(self, node_id: str, node: dict[str, Any]) -> list[Any]:
        """Return what the saved values of a node say of each input."""
        with _naming(node_id, node):
            return read_widgets(node["widgets_values"], self._described(node))

    def primitives(self, node_id: str, node: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield the inputs of a node that a primitive feeds, and its id."""
        for socket in _sockets(node):
            if socket.get("link") is not None:
                source = self._source(node_id, socket)
                if source is not None and self.nodes[source[0]]["type"] == PRIMITIVE:
                    yield socket["name"], source[0]

    def _described(self, node: dict[str, Any]) -> dict[str, Any]:
        return self.object_info[node["type"]].get("input") or {}

    def _inputs(self, node_id: str, node: dict[str, Any]) -> dict[str, Any]:
        described = self._described(node)
        with _naming(node_id, node):
            _check_order(node, described)
            values = widget_values(node.get("widgets_values") or [], described)
        for socket in _sockets(node):
            source = self._source(node_id, socket) if socket.get("link") is not None else None
            if source is not None and self.nodes[source[0]]["type"] == PRIMITIVE:
                values[socket["name"]] = self.nodes[source[0]]["widgets_values"][0]
            elif source is not None:
                values[socket["name"]] = list(source)
        return values

    def _source(self, node_id: str, socket: dict[str, Any]) -> tuple[str, int] | None:
        """Return the node and the output that feed a socket, or None where nothing arrives."""
        target, link, seen = name_of(node_id, self.nodes[node_id]), socket["link"], set()
        while link is not None:
            if not isinstance(link, (int, str)) or self.links.get(link, ("",))[0] not in self.nodes:
                raise WorkflowError(f"the input {socket['name']!r} of {target} has the link {link!r}, which comes from "
                                    "nowhere; open the file in the editor, mend it and save it")
            if link in seen:
                raise WorkflowError(f"the input {socket['name']!r} of {target} is linked to nodes without effect that "
                                    "run in a circle")
            seen.add(link)
            source, output = self.links[link]
            node = self.nodes[source]
            if node.get("mode") == MUTED:
                return None
            if node["type"] == PRIMITIVE and not node.get("widgets_values"):
                raise WorkflowError(f"{name_of(source, node)}, which feeds {target}, holds no value")
            if node["type"] in NOTES:
                raise WorkflowError(f"{target} is linked to {name_of(source, node)}, which gives nothing")
            if node["type"] == PRIMITIVE or (node["type"] != REROUTE and node.get("mode") != BYPASSED):
                return source, output
            link = _passed_on(source, node, output)
        return None


def _passed_on(node_id: str, node: dict[str, Any], output: int) -> Any:
    """Return the link that a node without effect hands on: from the input of its type, in the same place if so."""
    sockets, outputs = _sockets(node), node.get("outputs") or []
    if node["type"] == REROUTE:
        return sockets[0].get("link") if sockets else None
    if output >= len(outputs):
        raise WorkflowError(f"{name_of(node_id, node)} has no output {output}, but a link comes from there")
    wanted = outputs[output].get("type")
    for socket in sockets[output:output + 1] + sockets:
        if socket.get("type") == wanted and socket.get("link") is not None:
            return socket["link"]
    return None


def _sockets(node: dict[str, Any]) -> list[dict[str, Any]]:
    return node.get("inputs") or []


@contextmanager
def _naming(node_id: str, node: dict[str, Any]) -> Iterator[None]:
    """Put a node's name in front of the errors of a block, and what helps behind."""
    try:
        yield
    except WorkflowError as error:
        raise WorkflowError(f"{name_of(node_id, node)}: {error}. Open the file in the editor of this server and save "
                            "it anew, or save it there with Export (API)") from None


def _check(node: Any) -> None:
    """Refuse what is no node as the editor saves it, so that all that follows can rely on its form."""
    if not isinstance(node, dict) or not isinstance(node.get("id"), (int, str)):
        raise WorkflowError(f"the workflow's list of nodes holds something that is none: {node!r:.100}")
    name = name_of(node["id"], node)
    if not isinstance(node.get("type"), str):
        raise WorkflowError(f"{name} has no type")
    for part in ("inputs", "outputs"):
        sockets = node.get(part) or []
        if not isinstance(sockets, list) or not all(isinstance(socket, dict) for socket in sockets):
            raise WorkflowError(f"{name} has {part} that are no list of sockets: {sockets!r:.100}")
    for socket in _sockets(node):
        if not isinstance(socket.get("name"), str):
            raise WorkflowError(f"{name} has an input without a name: {socket!r:.100}")
    values = node.get("widgets_values") or []
    if not isinstance(values, list if node["type"] == PRIMITIVE else (list, dict)):
        raise WorkflowError(f"{name} has widget values that are no list: {values!r:.100}")


def _link(link: Any) -> tuple[Any, tuple[str, int]]:
    """Return (link id, (source node, output)) of either shape in which the editor saves links."""
    try:
        if isinstance(link, dict):
            found = link["id"], link["origin_id"], link["origin_slot"]
        else:
            found = link[0], link[1], link[2]
    except (KeyError, IndexError, TypeError):
        found = (None, None, None)
    link_id, node_id, output = found
    are_ids = isinstance(link_id, (int, str)) and isinstance(node_id, (int, str))
    if not are_ids or type(output) is not int or output < 0:
        raise WorkflowError(f"the workflow's list of links holds something that is none: {link!r:.100}")
    return link_id, (str(node_id), output)


def _subgraphs(workflow: dict[str, Any]) -> dict[str, str]:
    """Return the subgraphs that a file defines, {type of the nodes that stand for one: its name}."""
    definitions = workflow.get("definitions")
    found = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
    return {str(entry.get("id")): str(entry.get("name")) for entry in entries}


def _check_order(node: dict[str, Any], described: dict[str, Any]) -> None:
    """Refuse a node whose widgets the file lists in another order than the server's, or with one more in between."""
    listed = [socket["widget"].get("name") for socket in _sockets(node) if isinstance(socket.get("widget"), dict)]
    known = [entry.name for group in inputs_of(described) for entry in group if entry.is_widget]
    places = [known.index(name) if name in known else None for name in listed
              if isinstance(name, str) and "." not in name]
    while places and places[-1] is None:
        # What only the editor has stands at the end.
        places.pop()
    if places != sorted(place for place in places if place is not None):
        raise WorkflowError(f"the file lists its widgets as {', '.join(map(str, listed))}, this server as "
                            f"{', '.join(known)}")

"""The levels of a graph as the editor saves it: the workflow, and every subgraph once for each node that stands for it.

Here is the form of the file alone, checked, with the links looked up; values and the server's nodes come in `graph`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from .problems import WorkflowError, name_of

MUTED, BYPASSED = 2, 4
PRIMITIVE = "PrimitiveNode"
INSIDE = "-10"
"""The id, within a subgraph, of the node that its inputs come from."""
OUTSIDE = "-1"
"""The id with which older files name a subgraph's own inputs among its promoted widgets."""
PREFIX = re.compile(r"^(?:\s*\d+\s*:\s*)+")
"""What older files put before the name of a widget that is promoted through several subgraphs."""


class Level:
    """One graph: the workflow's, or a subgraph's as one node of the level above stands for it.

    Attributes:
        path: What comes before the ids of its nodes in a prompt, such as `5:` or `5:12:`.
        above: The level with the node that stands for this one, and that node; None for the workflow.
        nodes: {id: node}, the file's own objects.
        links: {link id: (source node, output)}.
        inner: {id of a node that stands for a subgraph: its level}.
    """

    def __init__(self, graph: dict[str, Any], subgraphs: dict[str, dict[str, Any]], path: str = "",
                 above: tuple[Level, str] | None = None) -> None:
        self.graph, self.path, self.above = graph, path, above
        self.nodes: dict[str, dict[str, Any]] = {}
        for node in _list(graph, "nodes"):
            _check(node)
            if str(node["id"]) in self.nodes:
                raise WorkflowError(f"two nodes have the id {path}{node['id']}; save the file anew in the editor")
            self.nodes[str(node["id"])] = node
        self.links = dict(_link(link) for link in _list(graph, "links") if link is not None)
        self.inner: dict[str, Level] = {}
        for node_id, node in self.nodes.items():
            if node["type"] in subgraphs:
                subgraph = subgraphs[node["type"]]
                if any(level.graph is subgraph for level in self._up()):
                    raise WorkflowError(f"{self.name(node_id)} stands for a subgraph that contains itself")
                self.inner[node_id] = Level(subgraph, subgraphs, f"{path}{node_id}:", (self, node_id))

    def _up(self) -> Iterator[Level]:
        level: Level | None = self
        while level is not None:
            yield level
            level = level.above[0] if level.above else None

    def name(self, node_id: str) -> str:
        """Return a node's name for messages."""
        return name_of(self.path + node_id, self.nodes[node_id])

    def running(self) -> Iterator[tuple[Level, str]]:
        """Yield the nodes that are neither muted nor bypassed, those of the levels below in place of their own."""
        for node_id, node in self.nodes.items():
            if node.get("mode") in (MUTED, BYPASSED):
                continue
            if node_id in self.inner:
                yield from self.inner[node_id].running()
            else:
                yield self, node_id

    def input_name(self, index: int) -> str:
        """Return the name of one of the subgraph's inputs."""
        inputs = _slots(self.graph, "inputs")
        if index >= len(inputs):
            raise WorkflowError(f"the subgraph of node {self.path[:-1]} has no input {index}, but a link comes from "
                                "there")
        return inputs[index]["name"]

    def output_link(self, index: int) -> Any:
        """Return the link that ends in one of the subgraph's outputs, or None."""
        outputs = _slots(self.graph, "outputs")
        if index >= len(outputs):
            raise WorkflowError(f"the subgraph of node {self.path[:-1]} has no output {index}, but a link comes from "
                                "there")
        links = outputs[index].get("linkIds") or []
        return links[0] if links else None

    @cached_property
    def promoted(self) -> dict[str, tuple[str, str]]:
        """Return the inputs that show a widget of the subgraph, {name: (inner node, its input)}, in the order saved."""
        ends = {socket["link"]: (node_id, socket) for node_id, node in self.nodes.items() for socket in sockets(node)
                if socket.get("link") is not None}
        found: dict[str, tuple[str, str]] = {}
        for slot in _slots(self.graph, "inputs"):
            for link in slot.get("linkIds") or []:
                node_id, socket = ends.get(link, ("", {}))
                behind = self.inner[node_id].promoted if node_id in self.inner else {}
                if isinstance(socket.get("widget"), dict) and node_id not in self.inner:
                    found[slot["name"]] = node_id, str(socket["widget"].get("name", socket["name"]))
                elif socket.get("name") in behind:
                    found[slot["name"]] = node_id, socket["name"]
                if slot["name"] in found:
                    break
        order = [socket["name"] for socket in sockets(self._own())]
        # A file whose unlinked widgets are not listed as inputs has them in the order of the subgraph.
        return {name: found[name] for name in (order if found.keys() <= set(order) else found) if name in found}

    @cached_property
    def places(self) -> dict[tuple[str, str], int]:
        """Return where the node that stands for this level holds values of its own, {(inner node, its input): place}.

        In files of newer editors they are those of its promoted inputs, in their order. Older ones list in
        `proxyWidgets` what they belong to.
        """
        promoted = self.promoted
        found = {inner: place for place, inner in enumerate(promoted.values())}
        for place, (node_id, name) in enumerate(_proxies(self._own())):
            if node_id == OUTSIDE and name in promoted:
                found[promoted[name]] = place
            elif node_id in self.inner and (node_id, name) not in found:
                # The name may be the one that the widget has further below.
                inner = self.inner[node_id].promoted
                bare = PREFIX.sub("", name) if name not in inner else name
                names = [own for own, (_, widget) in inner.items() if bare in (own, widget)]
                found[node_id, names[0] if names else name] = place
            elif node_id != OUTSIDE:
                found[node_id, name] = place
        listed = self._own().get("widgets_values")
        saved = listed if isinstance(listed, list) else []
        return {inner: place for inner, place in found.items() if place < len(saved) and saved[place] is not None}

    def _own(self) -> dict[str, Any]:
        """Return the node that stands for this level."""
        assert self.above is not None
        return self.above[0].nodes[self.above[1]]


def read_levels(workflow: dict[str, Any]) -> Level:
    """Return a workflow's own level, with those of its subgraphs below.

    Raises:
        WorkflowError: The file is broken.
    """
    return Level(workflow, {str(subgraph["id"]): subgraph for subgraph in _subgraphs(workflow)})


def sockets(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the inputs of a node that the file lists."""
    return node.get("inputs") or []


def quarantined(node: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the values that an editor kept of an older file without a place for them, {input: its entry}."""
    listed = _properties(node).get("proxyWidgetErrorQuarantine")
    found = {}
    for entry in listed if isinstance(listed, list) else []:
        source: Any = entry.get("originalEntry") if isinstance(entry, dict) else None
        if _is_proxy(source) and source[0] == OUTSIDE and entry.get("hostValue") is not None:
            found[source[1]] = entry
    return found


def _proxies(node: dict[str, Any]) -> list[tuple[str, str]]:
    listed = _properties(node).get("proxyWidgets")
    if not isinstance(listed, list) or not all(_is_proxy(entry) for entry in listed):
        return []
    return [(entry[0], entry[1]) for entry in listed]


def _is_proxy(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) in (2, 3) and all(isinstance(part, str) for part in entry)


def _properties(node: dict[str, Any]) -> dict[str, Any]:
    properties = node.get("properties")
    return properties if isinstance(properties, dict) else {}


def _subgraphs(graph: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the subgraphs that a file defines, also those within others."""
    definitions = graph.get("definitions")
    found = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    for subgraph in found if isinstance(found, list) else []:
        if not isinstance(subgraph, dict) or not isinstance(subgraph.get("id"), (str, int)):
            raise WorkflowError(f"the workflow's list of subgraphs holds something that is none: {subgraph!r:.100}")
        yield subgraph
        yield from _subgraphs(subgraph)


def _slots(subgraph: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """Return the inputs or outputs of a subgraph."""
    slots = _list(subgraph, part)
    for slot in slots:
        links = slot.get("linkIds") or [] if isinstance(slot, dict) else None
        if not isinstance(links, list) or not all(isinstance(link, (int, str)) for link in links) \
                or not isinstance(slot.get("name"), str):
            raise WorkflowError(f"the subgraph {subgraph.get('name')!r} has {part} that are none: {slot!r:.100}")
    return slots


def _list(graph: dict[str, Any], part: str) -> list[Any]:
    found = graph.get(part) or []
    if not isinstance(found, list):
        raise WorkflowError(f"the {part} of the workflow, or of a subgraph, are no list: {found!r:.100}")
    return found


def _check(node: Any) -> None:
    """Refuse what is no node as the editor saves it, so that all that follows can rely on its form."""
    if not isinstance(node, dict) or not isinstance(node.get("id"), (int, str)):
        raise WorkflowError(f"the workflow's list of nodes holds something that is none: {node!r:.100}")
    name = name_of(node["id"], node)
    if not isinstance(node.get("type"), str):
        raise WorkflowError(f"{name} has no type")
    for part in ("inputs", "outputs"):
        listed = node.get(part) or []
        if not isinstance(listed, list) or not all(isinstance(socket, dict) for socket in listed):
            raise WorkflowError(f"{name} has {part} that are no list of sockets: {listed!r:.100}")
    for socket in sockets(node):
        if not isinstance(socket.get("name"), str):
            raise WorkflowError(f"{name} has an input without a name: {socket!r:.100}")
        if not isinstance(socket.get("link"), (int, str, type(None))):
            raise WorkflowError(f"the input {socket['name']!r} of {name} has the link {socket['link']!r:.100}, which "
                                "is none; open the file in the editor, mend it and save it")
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

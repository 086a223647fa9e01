"""The editor's file: read into a draft, and written with what a draft has become.

What the draft did not change is written as it was: places, groups, colours, subgraphs, ids of links.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from .draft import Draft, Link, Node
from .shapes import Shape, old_values

WIDTH, ROW, GAP = 315, 26, 40
"""Of a node that is written anew, in the editor's units."""


def read_graph(workflow: dict[str, Any]) -> Draft:
    """Return the draft of a graph whose form `client.workflow` has checked."""
    origins = {entry[0]: Link(str(entry[1]), entry[2]) for entry in map(_entry, _links(workflow))}
    nodes = {}
    for raw in workflow["nodes"]:
        inputs: dict[str, Any] = old_values(raw["type"], raw.get("widgets_values"))
        for socket in raw.get("inputs") or []:
            if isinstance(socket.get("link"), (int, str)) and socket["link"] in origins:
                inputs[socket["name"]] = origins[socket["link"]]
        node_id = str(raw["id"])
        nodes[node_id] = Node(node_id, raw["type"], inputs, raw.get("mode") or 0, raw.get("title"), raw)
    return Draft(nodes)


def write_graph(workflow: dict[str, Any], draft: Draft, shapes: dict[str, Shape]) -> dict[str, Any]:
    """Return a graph with what the draft of it has become, of new nodes with these shapes."""
    written = copy.deepcopy(workflow)
    nodes = {node.id: _written(node, draft, shapes) for node in draft.nodes.values()}
    links = _relink(workflow, draft, nodes)
    written["nodes"] = list(nodes.values())
    written["links"] = links
    last_node = _largest(node["id"] for node in nodes.values())
    last_link = _largest(_entry(link)[0] for link in links)
    if isinstance(written.get("state"), dict):
        written["state"] |= {"lastNodeId": last_node, "lastLinkId": last_link}
    else:
        written |= {"last_node_id": last_node, "last_link_id": last_link}
    _forget_links(written, {_entry(link)[0] for link in links})
    return written


def _written(node: Node, draft: Draft, shapes: dict[str, Shape]) -> dict[str, Any]:
    """Return a node's entry, its sockets without links."""
    if node.fresh:
        return _fresh(node, draft, shapes)
    entry = copy.deepcopy(node.raw)
    entry["mode"] = node.mode
    for socket in entry.get("inputs") or []:
        socket["link"] = None
    for output in entry.get("outputs") or []:
        output["links"] = []
    return entry


def _fresh(node: Node, draft: Draft, shapes: dict[str, Shape]) -> dict[str, Any]:
    shape = shapes[node.kind]
    place = node.raw or draft.old[node.spot].raw
    x, y = _pair(place.get("pos"))
    if not node.raw:
        # Above the old node, each above the one before it.
        above = [other.id for other in draft.nodes.values() if other.spot == node.spot]
        y -= sum(_height(shapes[draft.nodes[other].kind]) + GAP for other in above[:above.index(node.id) + 1])
    inputs: list[dict[str, Any]] = [{"name": name, "type": kind, "link": None} for name, kind in shape.sockets.items()]
    inputs += [{"name": name, "type": kind, "widget": {"name": name}, "link": None}
               for name, (kind, _) in shape.widgets.items()]
    values = [default if isinstance(node.inputs.get(name, default), Link) else node.inputs.get(name, default)
              for name, (_, default) in shape.widgets.items()]
    return {
        "id": node.raw.get("id", int(node.id) if node.id.isdecimal() else node.id), "type": node.kind, "pos": [x, y],
        "size": [WIDTH, _height(shape)], "flags": {}, "order": place.get("order", 0), "mode": node.mode,
        "inputs": inputs,
        "outputs": [{"name": name, "type": kind, "links": []} for name, kind in shape.outputs.items()],
        "properties": {"Node name for S&R": node.kind}, "widgets_values": values,
        **{name: node.raw[name] for name in ("color", "bgcolor") if name in node.raw},
    }


def _height(shape: Shape) -> int:
    return 60 + ROW * (max(len(shape.sockets), len(shape.outputs)) + len(shape.widgets))


def _pair(value: Any) -> tuple[float, float]:
    """Return a place, which files have as a list or as {"0": x, "1": y}."""
    if isinstance(value, dict):
        value = [value.get("0", 0), value.get("1", 0)]
    is_place = isinstance(value, list) and len(value) >= 2 and all(isinstance(side, (int, float)) for side in value[:2])
    return (value[0], value[1]) if is_place else (0, 0)


def _relink(workflow: dict[str, Any], draft: Draft, nodes: dict[str, dict[str, Any]]) -> list[Any]:
    """Put the draft's links into the entries of its nodes, and return the file's list of them."""
    before = {_entry(link)[0]: link for link in _links(workflow)}
    as_objects = any(isinstance(link, dict) for link in before.values())
    free = _largest(before) + 1
    written = []
    for node in draft.nodes.values():
        sockets = nodes[node.id].get("inputs") or []
        for slot, socket in enumerate(sockets):
            link = node.inputs.get(socket["name"])
            if not isinstance(link, Link):
                continue
            output = _output(nodes[link.node], link.output)
            if output is None:
                continue
            old = before.get(_old_link(node, socket["name"]))
            same = old is not None and not node.fresh and _entry(old)[1:3] == (nodes[link.node]["id"], link.output)
            number = _entry(old)[0] if same else free
            free += not same
            entry = [number, nodes[link.node]["id"], link.output, nodes[node.id]["id"], slot, output.get("type", "*")]
            socket["link"] = number
            output["links"].append(number)
            names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
            written.append(old if same else dict(zip(names, entry, strict=True)) if as_objects else entry)
    return written


def _old_link(node: Node, name: str) -> Any:
    return next((socket.get("link") for socket in node.raw.get("inputs") or [] if socket["name"] == name), None)


def _output(entry: dict[str, Any], index: int) -> dict[str, Any] | None:
    outputs = entry.get("outputs") or []
    if index >= len(outputs):
        return None
    outputs[index]["links"] = outputs[index].get("links") or []
    return outputs[index]


def _largest(ids: Iterable[Any]) -> int:
    return max((number for number in ids if isinstance(number, int)), default=0)


def _links(workflow: dict[str, Any]) -> list[Any]:
    return [link for link in workflow.get("links") or [] if link is not None]


def _entry(link: Any) -> tuple[Any, Any, Any]:
    """Return (link, node it comes from, output) of either form."""
    return (link["id"], link["origin_id"], link["origin_slot"]) if isinstance(link, dict) else tuple(link[:3])


def _forget_links(workflow: dict[str, Any], known: set[Any]) -> None:
    """Take the links that are no more out of what else names them: bends of links on the canvas."""
    extra = workflow.get("extra")
    for holder in (workflow, extra if isinstance(extra, dict) else {}):
        if isinstance(holder.get("linkExtensions"), list):
            holder["linkExtensions"] = [entry for entry in holder["linkExtensions"] if entry.get("id") in known]
        if isinstance(holder.get("reroutes"), list):
            bends = [entry | {"linkIds": [link for link in entry.get("linkIds") or [] if link in known]}
                     for entry in holder["reroutes"]]
            parents = {entry.get("parentId") for entry in bends if entry["linkIds"]}
            holder["reroutes"] = [entry for entry in bends if entry["linkIds"] or entry.get("id") in parents]

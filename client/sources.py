"""What feeds an input of a graph: followed over reroutes, bypassed nodes and the borders of subgraphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .levels import BYPASSED, INSIDE, MUTED, PRIMITIVE, Level, quarantined, sockets
from .problems import WorkflowError

NOTES = ("Note", "MarkdownNote")
REROUTE = "Reroute"
ANY = ("", "*", 0, None)


@dataclass(frozen=True)
class Held:
    """A value, and where the file holds it: at `place` of `values`; without a place it is a default."""

    value: Any
    values: Any = None
    place: int | str | None = None


@dataclass(frozen=True)
class Widget:
    """The value is that of a widget: of this input of this node."""

    level: Level
    node_id: str
    name: str


def source(level: Level, node_id: str, socket: dict[str, Any]) -> list[Any] | Held | Widget | None:
    """Return what feeds a socket: a link of the prompt, a value, a widget of the subgraph itself, or nothing.

    Raises:
        WorkflowError: The link comes from nowhere, or runs in a circle.
    """
    target, name, wanted = level.name(node_id), socket["name"], socket.get("type")
    link, seen = socket.get("link"), set()
    while link is not None:
        origin, output = level.links.get(link, ("", 0))
        goes_up = origin == INSIDE and level.above is not None
        if not goes_up and origin not in level.nodes:
            raise WorkflowError(f"the input {name!r} of {target} has the link {link!r}, which comes from nowhere; open "
                                "the file in the editor, mend it and save it")
        if (level.path, link) in seen:
            raise WorkflowError(f"the input {name!r} of {target} is linked to nodes without effect that run in a "
                                "circle")
        seen.add((level.path, link))
        if goes_up:
            level, found = _outside(level, output)
            if isinstance(found, (Held, Widget)):
                return found
            link, wanted = found
            continue
        node = level.nodes[origin]
        if node.get("mode") == MUTED:
            return None
        if node.get("mode") == BYPASSED:
            passed = _passed_on(level, origin, output, wanted)
            link, wanted = passed.get("link"), passed.get("type")
        elif node["type"] == REROUTE:
            link = next((passed.get("link") for passed in sockets(node)), None)
        elif origin in level.inner:
            level = level.inner[origin]
            link = level.output_link(output)
        elif node["type"] in NOTES:
            raise WorkflowError(f"{target} is linked to {level.name(origin)}, which gives nothing")
        elif node["type"] == PRIMITIVE:
            return _primitive(level, origin, target)
        else:
            return [level.path + origin, output]
    return None


def overridden(level: Level, node_id: str, name: str) -> Held | None:
    """Return the value that the node which stands for a level holds for an input of one of the nodes within."""
    if level.above is None:
        return None
    above, own_id = level.above
    own = above.nodes[own_id]
    outer = next((outer for outer, inner in level.promoted.items() if inner == (node_id, name)), None)
    kept = quarantined(own).get(outer) if outer is not None else None
    if kept is not None:
        return Held(kept["hostValue"], kept, "hostValue")
    place = level.places.get((node_id, name))
    return None if place is None else Held(own["widgets_values"][place], own["widgets_values"], place)


def _outside(level: Level, index: int) -> tuple[Level, tuple[Any, Any] | Held | Widget]:
    """Return the level above, and what comes into a subgraph there by an input of it: (link, its type), or a value."""
    assert level.above is not None
    above, own_id = level.above
    name = level.input_name(index)
    socket = next((socket for socket in sockets(above.nodes[own_id]) if socket["name"] == name), {})
    if socket.get("link") is not None:
        return above, (socket["link"], socket.get("type"))
    if name not in level.promoted:
        return above, (None, None)
    return above, promoted_value(level, name)


def promoted_value(level: Level, name: str) -> Held | Widget:
    """Return the value of a promoted input without a link: the outermost one that a node holds, or the widget's own."""
    assert level.above is not None
    held = overridden(*level.above, name)
    while held is None:
        node_id, inner_name = level.promoted[name]
        held = overridden(level, node_id, inner_name)
        if held is None and node_id not in level.inner:
            return Widget(level, node_id, inner_name)
        if held is None:
            level, name = level.inner[node_id], inner_name
    return held


def _primitive(level: Level, node_id: str, target: str) -> Held:
    values = level.nodes[node_id].get("widgets_values")
    if not values:
        raise WorkflowError(f"{level.name(node_id)}, which feeds {target}, holds no value")
    return overridden(level, node_id, "value") or Held(values[0], values, 0)


def _passed_on(level: Level, node_id: str, output: int, wanted: Any) -> dict[str, Any]:
    """Return the input that a bypassed node hands on, chosen as the editor does; an empty one where none fits."""
    node = level.nodes[node_id]
    inputs, outputs = sockets(node), node.get("outputs") or []
    if output >= len(outputs):
        raise WorkflowError(f"{level.name(node_id)} has no output {output}, but a link comes from there")
    if wanted in ANY:
        return (inputs[output:output + 1] or inputs[:1] or [{}])[0]
    given = outputs[output].get("type")

    def fits(socket: dict[str, Any]) -> bool:
        return _connects(socket.get("type"), given) and _connects(socket.get("type"), wanted)

    same_place = [socket for socket in inputs[output:output + 1] if fits(socket)]
    same_type = [socket for socket in inputs if socket.get("type") == wanted]
    return next(iter(same_place + same_type + [socket for socket in inputs if fits(socket)]), {})


def _connects(one: Any, other: Any) -> bool:
    """Say whether types go together: they share a name, where several are written with commas, or one is any."""
    if one in ANY or other in ANY:
        return True
    names, others = ({part.strip() for part in str(kind).lower().split(",")} for kind in (one, other))
    return bool(names & others) or "*" in names | others

"""A graph while it is being changed: nodes with inputs by name, whatever form its file has."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MUTED, BYPASSED = 2, 4
REROUTE = "Reroute"


class Link(NamedTuple):
    """An output of a node."""

    node: str
    output: int = 0


@dataclass
class Node:
    """A node of either form of file."""

    id: str
    kind: str
    inputs: dict[str, Any]
    """Links and values. Of a node that no rule reads, the editor's file names the links alone."""
    mode: int = 0
    title: str | None = None
    raw: dict[str, Any] = field(default_factory=dict)
    """The node as its file has it; empty for a new one."""
    fresh: bool = False
    """Whether it is written anew from `kind` and `inputs`."""
    spot: str = ""
    """The old node beside which a new one stands."""

    @property
    def name(self) -> str:
        """What a report calls it."""
        title = f" '{self.title}'" if self.title and self.title != self.kind else ""
        return f"node {self.id}{title} ({self.kind})"


class Draft:
    """A graph with what it was, for rules to read, and what it becomes, for rules to change.

    Rules read the old nodes, so that none depends on what another has done before it; links that they read lead to
    where an output has moved since.
    """

    def __init__(self, nodes: dict[str, Node], has_modes: bool = True) -> None:
        """Take over the nodes of a file; `has_modes` says whether nodes can be bypassed in it."""
        self.nodes = nodes
        self._has_modes = has_modes
        self.old = copy.deepcopy(nodes)
        self.done: set[str] = set()
        """Old nodes whose meaning is in the new ones."""
        self._moved: dict[Link, Link | None] = {}

    def of_kind(self, *kinds: str) -> Iterator[Node]:
        """Yield the old nodes of these kinds that no rule has done yet."""
        for node in self.old.values():
            if node.kind in kinds and node.id not in self.done:
                yield node

    # Reading the old graph.

    def value(self, node: Node, name: str, default: Any = None) -> Any:
        """Return an input: a value, a link to where it comes from now, or the default where nothing is there."""
        found = node.inputs.get(name, default)
        return self._now(found) if isinstance(found, Link) else found

    def link(self, node: Node, name: str) -> Link | None:
        """Return where a socket's input comes from now; None where it has no link."""
        found = node.inputs.get(name)
        return self._now(found) if isinstance(found, Link) else None

    def source(self, node: Node, name: str) -> Node | None:
        """Return the old node that feeds a socket; None where there is none or it is muted."""
        found = node.inputs.get(name)
        if not isinstance(found, Link):
            return None
        origin = self.old.get(self._through(found).node)
        return None if origin is None or origin.mode == MUTED else origin

    def at(self, node: Node, name: str) -> str:
        """Return the id of the old node that feeds a socket which is known to be fed."""
        return self._through(node.inputs[name]).node

    def used(self, node: Node, output: int) -> bool:
        """Say whether something takes an output of an old node."""
        return any(isinstance(value, Link) and self._through(value) == Link(node.id, output)
                   for other in self.old.values() if other.kind != REROUTE for value in other.inputs.values())

    def takers(self, node: Node) -> int:
        """Return how many inputs take an output of an old node."""
        return sum(isinstance(value, Link) and self._through(value).node == node.id
                   for other in self.old.values() if other.kind != REROUTE for value in other.inputs.values())

    def _through(self, link: Link) -> Link:
        """Follow a link through reroutes."""
        seen = set()
        while (node := self.old.get(link.node)) is not None and node.kind == REROUTE and link not in seen:
            seen.add(link)
            before = next((value for value in node.inputs.values() if isinstance(value, Link)), None)
            if before is None:
                break
            link = before
        return link

    def _now(self, link: Link) -> Link | None:
        now: Link | None = self._through(link)
        while now is not None and now in self._moved:
            now = self._moved[now]
        return now

    # Changing it.

    def add(self, kind: str, inputs: dict[str, Any], spot: Node, mode: int | None = None) -> Link:
        """Add a node beside an old one, and return its first output."""
        numbers = [int(node_id) for node_id in self.nodes if node_id.isdecimal()]
        node_id = str(max(numbers, default=0) + 1)
        self.nodes[node_id] = Node(node_id, kind, _present(inputs), spot.mode if mode is None else mode, fresh=True,
                                   spot=spot.id)
        return Link(node_id)

    def turn(self, node: Node, kind: str, inputs: dict[str, Any], keeps: tuple[int, ...] = (),
             mode: int | None = None) -> Link:
        """Make an old node into a new one at its place, and return its first output.

        Args:
            keeps: Outputs that mean what they meant, so that their links stay.
            mode: Whether it is muted or bypassed; by default as the old one.
        """
        current = self.nodes[node.id]
        if current.fresh:
            # Another rule has used the place.
            return self.add(kind, inputs, node, mode)
        current.kind, current.inputs, current.fresh = kind, _present(inputs), True
        current.mode, current.title = node.mode if mode is None else mode, None
        self.done.add(node.id)
        for other in self.nodes.values():
            if not other.fresh:
                other.inputs = {name: value for name, value in other.inputs.items()
                                if not (isinstance(value, Link) and value.node == node.id)
                                or value.output in keeps}
        return Link(node.id)

    def move(self, old: Link, new: Link | None, but: str | None = None) -> None:
        """Let all that takes one output take another one, or nothing; the node `but` stays as it is."""
        self._moved[old] = new
        for node in self.nodes.values():
            if node.id == but:
                continue
            for name, value in list(node.inputs.items()):
                if value != old or not isinstance(value, Link):
                    continue
                if new is None:
                    del node.inputs[name]
                else:
                    node.inputs[name] = new

    def rest(self, node: Node, passes: str | None) -> None:
        """Let an old node do nothing, and hand on one of its inputs where `passes` names it."""
        if self._has_modes:
            self.nodes[node.id].mode = BYPASSED if passes else MUTED
            return
        if passes:
            self.move(Link(node.id), self.link(node, passes))
        self.done.add(node.id)

    def awaited(self, node: Node) -> bool:
        """Say whether a node that still does something takes an output of an old node."""
        return any(isinstance(value, Link) and self._through(value).node == node.id
                   for other in self.nodes.values()
                   if other.id not in self.done or other.fresh
                   if other.kind != REROUTE and other.mode not in (MUTED, BYPASSED)
                   for value in other.inputs.values())

    def finish(self) -> None:
        """Take out the old nodes that are done, and the links that come from nowhere now."""
        for node_id in self.done:
            if node_id in self.nodes and not self.nodes[node_id].fresh:
                del self.nodes[node_id]
        self._drop_empty_reroutes()
        for node in self.nodes.values():
            node.inputs = {name: value for name, value in node.inputs.items()
                           if not isinstance(value, Link) or value.node in self.nodes}

    def _drop_empty_reroutes(self) -> None:
        """Take out reroutes behind which or before which nothing is left that they stood between."""
        while True:
            lost = [node.id for node in self.nodes.values() if node.kind == REROUTE and self._is_lost(node)]
            if not lost:
                return
            for node_id in lost:
                del self.nodes[node_id]

    def _is_lost(self, node: Node) -> bool:
        old = next((value for value in self.old[node.id].inputs.values() if isinstance(value, Link)), None)
        now = next((value for value in node.inputs.values() if isinstance(value, Link)), None)
        if old is None:
            return False
        if now is None or now.node not in self.nodes:
            return True
        behind = (value for other in self.nodes.values() for value in other.inputs.values())
        before = any(isinstance(value, Link) and value.node == node.id
                     for other in self.old.values() for value in other.inputs.values())
        return before and not any(isinstance(value, Link) and value.node == node.id for value in behind)


def _present(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if value is not None}

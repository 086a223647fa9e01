"""Graphs that are built in the real editor for a picture of them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import FloatRect, Page, ViewportSize

LARGEST = 150_000
"""Bytes of a picture."""
VIEW: ViewportSize = {"width": 1440, "height": 860}
CORNER, SCALE = (90, 140), 0.88
"""Where the graph's first node lies on the page, and how large it is drawn."""
MARGIN = 24
TITLE = 30
"""Height of a node's title, which is above its place."""


@dataclass(frozen=True)
class Node:
    """A node, where it lies, and what is set and linked on it."""

    kind: str
    place: tuple[int, int]
    size: tuple[int, int]
    values: dict[str, Any] = field(default_factory=dict)
    """By the name of the widget."""
    links: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By the name of the input: the node that it comes from, and its output."""
    title: str = ""


ADD = """([name, node]) => {
    const graph = window.app.graph, made = LiteGraph.createNode(node.kind);
    made.pos = node.place;
    if (node.title) made.title = node.title;
    graph.add(made);
    made.setSize(node.size);
    for (const [key, value] of Object.entries(node.values)) {
        const widget = made.widgets.find(widget => widget.name === key);
        widget.value = value;
        widget.callback?.(value);
    }
    window.made = {...window.made, [name]: made};
    for (const [input, [from, output]] of Object.entries(node.links)) {
        const origin = window.made[from];
        const slots = [origin.outputs.findIndex(slot => slot.name === output || slot.type === output),
                       made.inputs.findIndex(slot => slot.name === input)];
        if (slots.includes(-1)) throw new Error(`${name}: there is no link from ${from}.${output} to ${input}`);
        origin.connect(slots[0], made, slots[1]);
    }
    made.setSize(node.size);
}"""
CLEAR = "() => { window.app.graph.clear(); window.made = {}; }"
LOOK = """([[x, y], scale]) => {
    const canvas = window.app.canvas, place = canvas.canvas.getBoundingClientRect();
    canvas.ds.scale = scale;
    canvas.ds.offset = [(x - place.x) / scale, (y - place.y) / scale];
    canvas.setDirty(true, true);
}"""


def clear(page: Page) -> None:
    """Empty the canvas."""
    page.evaluate(CLEAR)


def draw(page: Page, nodes: Mapping[str, Node]) -> None:
    """Add nodes to what is drawn, each after those that it is linked to."""
    for name, node in nodes.items():
        page.evaluate(ADD, [name, vars(node)])


def photograph(page: Page, nodes: Iterable[Node], path: Path) -> None:
    """Write a picture of the nodes that are drawn."""
    page.evaluate(LOOK, [CORNER, SCALE])
    # What the pointer is over is drawn in another way.
    page.mouse.move(VIEW["width"] // 2, VIEW["height"] - 20)
    page.wait_for_timeout(1500)
    write(page, path, around(list(nodes)))


def around(nodes: list[Node]) -> FloatRect:
    """Return the part of the page that shows the nodes."""
    across, down = (max(node.place[side] + node.size[side] for node in nodes) for side in (0, 1))
    return {"x": CORNER[0] - MARGIN, "y": CORNER[1] - TITLE * SCALE - MARGIN,
            "width": across * SCALE + 2 * MARGIN, "height": (down + TITLE) * SCALE + 2 * MARGIN}


def write(page: Page, path: Path, part: FloatRect | None = None) -> None:
    """Write what the page shows, or a part of it.

    Raises:
        ValueError: The picture is too large for the docs.
    """
    picture = Image.open(io.BytesIO(page.screenshot(clip=part))).convert("RGB")
    picture.save(path, quality=80, method=6)
    size = path.stat().st_size
    print(f"{path.name}: {picture.width} x {picture.height} pixels, {size // 1000} KB", flush=True)
    if size > LARGEST:
        raise ValueError(f"{path} has {size} bytes; a picture of the docs has {LARGEST} at most")

"""Where the nodes of a graph are, and what is wrong there: nodes that overlap, wires that run back or behind nodes."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import Any

TITLE, SLOT = 30.0, 20.0
"""Heights of a node's title, which is above its position, and of a socket."""
NARROWEST = 225.0
"""The least width of a node in Nodes 2.0: one that is narrower in its file would lie on its neighbour there."""
SPACE = 8.0
"""What has to be free around a node."""
SAMPLES = 60
REACH = 80.0
"""How far a point on a wire's way bends it at most."""
GROWS = {"AnimateLCM_ApplyMotionModule": 262.0, "AnimateLCM_TextToVideo": 330.0, "AnimateLCM_ImageToVideo": 500.0,
         "AnimateLCM_LongVideo": 220.0, "AnimateLCM_Scheduler": 150.0, "AnimateLCM_PromptSchedule": 320.0,
         "AnimateLCM_LoadMotionLoRA": 190.0, "AnimateLCM_AttentionScale": 210.0, "AnimateLCM_MotionControl": 260.0,
         "AnimateLCM_FrameValues": 160.0, "AnimateLCM_RollingSampler": 190.0, "AnimateLCM_SpriteSheet": 160.0,
         "AnimateLCM_RecordVideo": 640.0, "AnimateLCM_DistillSpatialLoRA": 520.0,
         "AnimateLCM_DistillMotionModule": 640.0, "KSampler": 520.0, "SamplerCustom": 490.0, "SaveVideo": 400.0,
         "LoadVideo": 490.0, "LoadImage": 350.0, "SaveImage": 300.0, "SaveAnimatedWEBP": 400.0,
         "SaveAnimatedPNG": 350.0, "LossGraphNode": 300.0}
"""The heights that nodes with texts and pictures have when they have run, on the classic canvas and in Nodes 2.0."""
Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def holds(self, other: Box) -> bool:
        """Say whether another one is inside."""
        return (self.left <= other.left and self.top <= other.top
                and self.right >= other.right and self.bottom >= other.bottom)

    def meets(self, other: Box, space: float = 0.0) -> bool:
        """Say whether another one is nearer than `space`."""
        return (self.left < other.right + space and other.left < self.right + space
                and self.top < other.bottom + space and other.top < self.bottom + space)

    def has(self, point: Point) -> bool:
        """Say whether a point is inside."""
        return self.left < point[0] < self.right and self.top < point[1] < self.bottom


def boxes_of(workflow: dict[str, Any], heights: dict[int, float] | None = None) -> dict[int, Box]:
    """Return the place of each node with its title, {id: box}.

    Args:
        heights: Heights without the title, {id: pixels}; by default those in the file, or in a run where larger.
    """
    found = {}
    for node in workflow["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        height = max(height, GROWS.get(node["type"], 0.0)) if heights is None else heights[node["id"]]
        found[node["id"]] = Box(x, y - TITLE, x + width, y + height)
    return found


def groups_of(workflow: dict[str, Any]) -> dict[str, Box]:
    """Return the place of each group, {title: box}."""
    return {group["title"]: Box(x, y, x + width, y + height)
            for group in workflow["groups"] for x, y, width, height in [group["bounding"]]}


def overlaps(boxes: dict[int, Box]) -> list[str]:
    """Return which nodes are nearer to each other than `SPACE`."""
    ids = sorted(boxes)
    return [f"nodes {one} and {other} overlap" for place, one in enumerate(ids) for other in ids[place + 1:]
            if boxes[one].meets(boxes[other], SPACE)]


def strays(workflow: dict[str, Any], boxes: dict[int, Box]) -> list[str]:
    """Return which nodes are partly in a group, and which groups overlap."""
    groups = list(groups_of(workflow).items())
    found = [f"node {name} sticks out of {title!r}" for title, group in groups for name, box in boxes.items()
             if group.meets(box) and not group.holds(box)]
    return found + [f"{one!r} overlaps {other!r}" for place, (one, box) in enumerate(groups)
                    for other, second in groups[place + 1:] if box.meets(second)]


def backward(workflow: dict[str, Any], boxes: dict[int, Box]) -> list[str]:
    """Return which links do not go from left to right."""
    return [f"the link from node {link[1]} to node {link[3]} runs back" for link in workflow["links"]
            if boxes[link[3]].left < boxes[link[1]].right + SPACE]


def behind(workflow: dict[str, Any], boxes: dict[int, Box]) -> list[str]:
    """Return which links run behind nodes, as the editor draws them: a curve, with or without points on its way."""
    found = []
    for link in workflow["links"]:
        way = wire(workflow, link)
        hidden = {name for name, box in boxes.items() if name not in (link[1], link[3]) and any(map(box.has, way))}
        found += [f"the link from node {link[1]} to node {link[3]} runs behind node {name}" for name in sorted(hidden)]
    return found


def wire(workflow: dict[str, Any], link: list[Any]) -> list[Point]:
    """Return points on a link's curve."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    source, target = nodes[link[1]], nodes[link[3]]
    start = (source["pos"][0] + source["size"][0], source["pos"][1] + (link[2] + 0.7) * SLOT)
    end = (target["pos"][0], target["pos"][1] + _row(target, link[4]) * SLOT)
    stops = [start, *_stops(workflow, link[0]), end]
    ways = [(1.0, 0.0), *(_way(*three) for three in zip(stops, stops[1:], stops[2:], strict=False)), (1.0, 0.0)]
    last = len(stops) - 2
    found: list[Point] = []
    for place, (one, other) in enumerate(zip(stops, stops[1:], strict=False)):
        reach = 0.25 * hypot(other[0] - one[0], other[1] - one[1])
        out, back = reach if place == 0 else min(reach, REACH), reach if place == last else min(reach, REACH)
        (x, y), (ahead_x, ahead_y) = ways[place], ways[place + 1]
        found += _curve(one, (one[0] + out * x, one[1] + out * y),
                        (other[0] - back * ahead_x, other[1] - back * ahead_y), other)
    return found


def _way(before: Point, here: Point, after: Point) -> Point:
    """Return the direction of a wire at a point on its way: between those from the one before and to the next."""
    into, out = (((b[0] - a[0]) / hypot(b[0] - a[0], b[1] - a[1]), (b[1] - a[1]) / hypot(b[0] - a[0], b[1] - a[1]))
                 for a, b in ((before, here), (here, after)))
    length = hypot(into[0] + out[0], into[1] + out[1]) or 1.0
    return (into[0] + out[0]) / length, (into[1] + out[1]) / length


def _row(node: dict[str, Any], slot: int) -> float:
    """Return where an input is, in rows: those without a widget come first, a widget's is beside the widget."""
    inputs = node["inputs"]
    plain = [place for place, socket in enumerate(inputs) if "widget" not in socket]
    if slot in plain:
        return plain.index(slot) + 0.7
    rows = max(len(plain), len(node.get("outputs") or []))
    return rows + (slot - len(plain)) * 1.2 + 0.9


def _stops(workflow: dict[str, Any], link: int) -> list[Point]:
    """Return the points that a link is led through, first to last."""
    known = {entry["id"]: entry for entry in workflow["extra"].get("reroutes", [])}
    place = {entry["id"]: entry["parentId"] for entry in workflow["extra"].get("linkExtensions", [])}.get(link)
    found: list[Point] = []
    while place is not None:
        found.insert(0, tuple(known[place]["pos"]))
        place = known[place].get("parentId")
    return found


def _curve(*corners: Point) -> list[Point]:
    """Return points on a cubic curve from its four corners."""
    found = []
    for number in range(SAMPLES + 1):
        t = number / SAMPLES
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t ** 3)
        x, y = (sum(w * corner[axis] for w, corner in zip(weights, corners, strict=True)) for axis in (0, 1))
        found.append((x, y))
    return found

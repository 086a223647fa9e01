"""Values that a server would refuse, found before the first row is queued."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..problems import name_of
from ..texts import is_link
from ..widgets import DYNAMIC_COMBO, UPLOADS, Input, inputs_of, plain_value

Place = tuple[str, str]
"""A node and one of its inputs."""


def changed(prompt: dict[str, Any], original: dict[str, Any]) -> list[Place]:
    """Return the inputs in which a prompt differs from the one that it was made from."""
    return [(node_id, name) for node_id, node in prompt.items() for name, value in node["inputs"].items()
            if _differ(value, original[node_id]["inputs"].get(name))]


def objections(prompt: dict[str, Any], places: list[Place], object_info: dict[str, Any]) -> list[str]:
    """Return what is wrong with some values of a prompt, by the server's description of its nodes.

    A value in a node of a single input, such as a seed of its own, has to fit where that node leads, too.
    """
    found = []
    for node_id, name in places:
        value = plain_value(prompt[node_id]["inputs"][name])
        for used_id, used in [(node_id, name), *_uses(prompt, node_id)]:
            node = prompt[used_id]
            described = _described(object_info.get(node["class_type"], {}).get("input") or {}, used)
            trouble = described and not is_link(value) and _trouble(described, value)
            if trouble:
                found.append(f"{used} of {name_of(used_id, node)} is {value!r:.200}, {trouble}")
    return found


def _differ(one: Any, other: Any) -> bool:
    """Say whether values differ; true is not 1."""
    return type(one) is not type(other) or one != other


def _uses(prompt: dict[str, Any], node_id: str) -> Iterator[Place]:
    """Yield the inputs that get the value of a node that holds nothing else."""
    if len(prompt[node_id]["inputs"]) == 1:
        for used_id, node in prompt.items():
            yield from ((used_id, name) for name, link in node["inputs"].items()
                        if is_link(link) and link[0] == node_id)


def _described(described: dict[str, Any], name: str) -> Input | None:
    """Return the description of an input, also of one that belongs to a choice, such as `codec.crf`."""
    first, dot, rest = name.partition(".")
    for entry in (entry for group in inputs_of(described) for entry in group):
        if entry.name == name:
            return entry
        if dot and entry.name == first and entry.kind == DYNAMIC_COMBO:
            inner = (_described(choice.get("inputs") or {}, rest) for choice in entry.choices)
            return next(filter(None, inner), None)
    return None


def _trouble(entry: Input, value: Any) -> str | None:
    """Say what the server expects in place of a value, or return None where it would take it."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if entry.kind in ("INT", "FLOAT"):
        low, high = entry.options.get("min"), entry.options.get("max")
        if not number or not entry.fits(value):
            return f"expected a {'whole ' if entry.kind == 'INT' else ''}number"
        if (low is not None and value < low) or (high is not None and value > high):
            return f"expected {'' if low is None else low} to {'' if high is None else high}"
    elif entry.kind == "BOOLEAN" and not isinstance(value, bool):
        return "expected true or false"
    elif entry.kind == "STRING" and not isinstance(value, (str, int, float)):
        return "expected a text"
    elif entry.kind in ("COMBO", DYNAMIC_COMBO) and not entry.options.get("multiselect"):
        choices = [choice["key"] for choice in entry.choices] if entry.kind == DYNAMIC_COMBO else entry.choices
        elsewhere = any(entry.options.get(upload) for upload in UPLOADS) and isinstance(value, str) \
            and ("/" in value or value.endswith("]"))
        if choices and value not in choices and not elsewhere:
            shown = ", ".join(map(str, choices[:20]))
            return f"expected one of {shown}{f' and {len(choices) - 20} more' if len(choices) > 20 else ''}"
    return None

"""Workflow files: from the editor's graph to the prompt that the server runs, and values put into a prompt.

The editor saves a graph: nodes with positions, links, and a bare list of widget values. The server runs a prompt,
{node id: {class_type, inputs}}. Which value of the list belongs to which input is known to the server only, which
describes its nodes at /object_info.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from .graph import BYPASSED, MUTED, check_graph, graph_to_prompt, with_values
from .problems import WorkflowError, name_of
from .texts import is_link, set_text
from .widgets import SEEDS, inputs_of

__all__ = ["BYPASSED", "MUTED", "WorkflowError", "check_workflow", "input_types", "is_graph", "is_prompt", "load",
           "set_input", "set_seed", "set_text", "set_value", "to_prompt", "with_values"]

DEEPEST = 100
"""So deep may lists and objects be nested; editors stay below 10."""


def load(path: Path) -> dict[str, Any]:
    """Read a workflow file, graph or prompt.

    Raises:
        WorkflowError: It is neither, or cannot be read.
    """
    try:
        workflow = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise WorkflowError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise WorkflowError(f"{path} is not a JSON file: {error}") from None
    if not isinstance(workflow, dict) or not (is_graph(workflow) or is_prompt(workflow)):
        raise WorkflowError(f"{path} is neither a workflow saved by the editor nor a prompt in API format")
    level = [workflow]
    for _ in range(DEEPEST):
        level = [part for whole in level if isinstance(whole, (dict, list))
                 for part in (whole.values() if isinstance(whole, dict) else whole)]
    if level:
        raise WorkflowError(f"{path} nests its values more than {DEEPEST} deep, which no editor does")
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
        WorkflowError: The server lacks a node, the workflow is broken, or only the editor can resolve it.
    """
    if is_graph(workflow):
        return graph_to_prompt(workflow, object_info)
    check_workflow(workflow)
    return copy.deepcopy(workflow)


def check_workflow(workflow: dict[str, Any]) -> None:
    """Refuse a workflow whose nodes or links have a form that cannot be read.

    Raises:
        WorkflowError: It has one.
    """
    if is_graph(workflow):
        check_graph(workflow)
        return
    for node_id, node in workflow.items():
        if not isinstance(node["class_type"], str) or not isinstance(node.get("inputs"), dict):
            raise WorkflowError(f"{name_of(node_id, node)} needs a class_type that is a text and inputs by name")


def input_types(described: dict[str, Any]) -> list[str]:
    """Return the types of a node's inputs, from the server's description of the node."""
    return [entry.kind for group in inputs_of(described.get("input") or {}) for entry in group]


def set_seed(prompt: dict[str, Any], seed: int) -> None:
    """Write a seed into every input of the prompt that is one, or into the node of one number that feeds it.

    Raises:
        WorkflowError: There is none, or a number that feeds one feeds other inputs too; nothing has been written then.
    """
    found = [place for node_id, node in prompt.items() for name in node["inputs"]
             if name.rpartition(".")[2] in SEEDS and (place := _number_behind(prompt, node_id, name))]
    if not found:
        raise WorkflowError("this workflow has no seed")
    for node_id, name in found:
        prompt[node_id]["inputs"][name] = seed


def _number_behind(prompt: dict[str, Any], node_id: str, name: str) -> tuple[str, str] | None:
    """Return where the number of an input stands: in itself, or in a node that holds nothing else."""
    value = prompt[node_id]["inputs"][name]
    if type(value) is int:
        return node_id, name
    if not is_link(value) or len(prompt.get(value[0], {}).get("inputs", {})) != 1:
        return None
    source = value[0]
    [(inner, number)] = prompt[source]["inputs"].items()
    if type(number) is not int:
        return None
    others = {used for node in prompt.values() for used, link in node["inputs"].items()
              if is_link(link) and link[0] == source and used.rpartition(".")[2] not in SEEDS}
    if others:
        raise WorkflowError(f"{name_of(source, prompt[source])} feeds {', '.join(sorted(others))} as well as a seed; "
                            "name the seed's input as NODE.INPUT instead")
    return source, inner


def set_value(prompt: dict[str, Any], assignment: str) -> None:
    """Set one input from NODE.INPUT=VALUE, where NODE is an id, a title or a class.

    The value is read as JSON where it is JSON, else taken as text.

    Raises:
        WorkflowError: No node, or no such input, or a text of another form.
    """
    place, equals, text = assignment.partition("=")
    if not (equals and "." in place):
        raise WorkflowError(f"expected NODE.INPUT=VALUE, such as KSampler.steps=8, got {assignment!r}")
    set_input(prompt, place, value_of(text))


def value_of(text: Any) -> Any:
    """Return what a text in a table or on the command line means: JSON where it is JSON, else the text."""
    try:
        return json.loads(text, parse_constant=_no_number) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return text


def _no_number(name: str) -> None:
    """Refuse NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(name)


def set_input(prompt: dict[str, Any], place: str, value: Any) -> None:
    """Set one input, named as NODE.INPUT; see `set_value`.

    Raises:
        WorkflowError: No node, no such input, or several nodes that do not agree.
    """
    # Titles and inputs may have dots of their own.
    dots = [dot for dot, character in enumerate(place) if character == "."]
    splits = [(_named(prompt, place[:dot]), place[dot + 1:]) for dot in reversed(dots)]
    chosen, name = next(((nodes, name) for nodes, name in splits if nodes), ([], ""))
    if not chosen:
        raise WorkflowError(f"the workflow has no node {place.rpartition('.')[0]!r}; expected NODE.INPUT")
    for entry in chosen:
        if name not in entry["inputs"]:
            raise WorkflowError(f"{entry['class_type']} has no input {name!r}; it has {', '.join(entry['inputs'])}")
    if any(entry["inputs"][name] != chosen[0]["inputs"][name] for entry in chosen):
        raise WorkflowError(f"{place} names {len(chosen)} nodes with different values; name one by its id: "
                            f"{', '.join(node_id for node_id, entry in prompt.items() if entry in chosen)}")
    for entry in chosen:
        entry["inputs"][name] = value


def _named(prompt: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the node of an id, else all of a title or a class."""
    if name in prompt:
        return [prompt[name]]
    return [entry for entry in prompt.values() if name in (entry["class_type"], _title(entry))]


def _title(entry: dict[str, Any]) -> Any:
    meta = entry.get("_meta")
    return meta.get("title") if isinstance(meta, dict) else None

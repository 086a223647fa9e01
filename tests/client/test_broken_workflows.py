"""Whatever a workflow file holds, it is either used or refused in a sentence that names the place."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from animatelcm.client.workflow import (
    BYPASSED,
    WorkflowError,
    is_graph,
    is_prompt,
    set_seed,
    set_text,
    set_value,
    to_prompt,
    with_values,
)
from animatelcm.tests.client.graphs import NODES, entry

EXAMPLES = Path(__file__).resolve().parents[2] / "example_workflows"
ODD = (None, True, -1, 3, 2**70, 1.5, float("nan"), "", "x", "5", "fixed", [], {}, [1], ["5", 0], ["no", 0], [[]],
       {"a": 1}, [None], {"name": "x"}, [1, 2, 3, 4, 5, 6])


BROKEN = {
    "no type": (lambda g: g["nodes"][1].pop("type"), "node 2 has no type"),
    "no id": (lambda g: g["nodes"][1].pop("id"), "list of nodes"),
    "two of one id": (lambda g: g["nodes"][1].update(id=1), "two nodes have the id 1"),
    "no node": (lambda g: g["nodes"].append(7), "list of nodes.*7"),
    "inputs by name": (lambda g: g["nodes"][1].update(inputs={"model": 1}), r"node 2 \(Pass\) has inputs"),
    "input without a name": (lambda g: g["nodes"][1]["inputs"][0].pop("name"), r"node 2 \(Pass\).*without a name"),
    "link to nowhere": (lambda g: g["nodes"][1]["inputs"][0].update(link=99), r"'model' of node 2 \(Pass\).*99"),
    "link from no node": (lambda g: g["links"][0].__setitem__(1, 99), r"'model' of node 2 \(Pass\).*nowhere"),
    "link of another form": (lambda g: g["links"].append([9]), r"list of links.*\[9\]"),
    "link from no output": (lambda g: (g["nodes"][1].update(mode=BYPASSED), g["links"][2].__setitem__(2, 5)),
                            r"node 2 \(Pass\) has no output 5"),
    "no links": (lambda g: g.pop("links"), "comes from nowhere"),
    "values of another form": (lambda g: g["nodes"][1].update(widgets_values=3), r"node 2 \(Pass\).*values"),
    "linked to a note": (lambda g: g["links"][0].__setitem__(1, 5), r"node 5 \(MarkdownNote\), which gives nothing"),
    "primitive without a value": (lambda g: g["nodes"][0].update(type="PrimitiveNode", widgets_values=[]),
                                  r"node 1 \(PrimitiveNode\), which feeds node 2"),
    "reroutes in a circle": (
        lambda g: (g["nodes"].append(entry(6, "Reroute", {"": 6}, ["MODEL"], [])),
                   g["nodes"].append(entry(7, "Reroute", {"": 5}, ["MODEL"], [])),
                   g["links"].extend([[5, 6, 0, 7, 0, "*"], [6, 7, 0, 6, 0, "*"]]),
                   g["nodes"][3]["inputs"][0].update(link=5)), r"'model' of node 4 \(Sampler\).*circle"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_graph_is_refused_by_name(graph: dict[str, Any], name: str) -> None:
    damage, message = BROKEN[name]
    damage(graph)
    with pytest.raises(WorkflowError, match=message):
        to_prompt(graph, NODES)


@pytest.mark.parametrize("node", [{"class_type": 3, "inputs": {}}, {"class_type": "Text"},
                                  {"class_type": "Text", "inputs": []}])
def test_broken_prompt_is_refused_by_name(node: dict[str, Any]) -> None:
    with pytest.raises(WorkflowError, match="node 7"):
        to_prompt({"7": node}, NODES)


def description(workflow: dict[str, Any]) -> dict[str, Any]:
    """What a server could say of the nodes of a graph: sockets by their types, widgets by their values."""
    kinds = {bool: "BOOLEAN", int: "INT", float: "FLOAT", str: "STRING", dict: "CURVE"}
    found = {}
    for node in workflow["nodes"]:
        sockets = {socket["name"]: [socket["type"], {}] for socket in node.get("inputs", []) if "widget" not in socket}
        values = [value for value in node.get("widgets_values") or [] if value not in ("fixed", "randomize")]
        widgets = {f"w{i}": [kinds.get(type(value), "STRING"), {"control_after_generate": type(value) is int}]
                   for i, value in enumerate(values)}
        found[node["type"]] = {"input": {"required": sockets | widgets}, "output_name": ["positive", "negative"]}
    return found


def parts(whole: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every part of nested lists and objects."""
    inner = whole.items() if isinstance(whole, dict) else enumerate(whole) if isinstance(whole, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from parts(value, (*path, key))


def damaged(whole: Any, choose: random.Random) -> Any:
    """Return a copy with one to four parts taken out, put elsewhere or replaced."""
    whole = copy.deepcopy(whole)
    for _ in range(choose.choice((1, 1, 2, 4))):
        paths = list(parts(whole))
        if not paths:
            break
        *way, key = choose.choice(paths)
        holder = whole
        for step in way:
            holder = holder[step]
        what = choose.randrange(3)
        if what == 0:
            del holder[key]
        elif what == 1:
            holder[key] = copy.deepcopy(choose.choice(ODD))
        else:
            source = whole
            for step in choose.choice(paths):
                source = source[step]
            holder[key] = copy.deepcopy(source)
    return whole


def use(workflow: Any, nodes: dict[str, Any]) -> None:
    """Do with a workflow all that the tools do with one."""
    if not isinstance(workflow, dict) or not (is_graph(workflow) or is_prompt(workflow)):
        return
    prompt = to_prompt(workflow, nodes)
    for change in (lambda: set_text(prompt, "a dog", nodes), lambda: set_text(copy.deepcopy(prompt), "a dog"),
                   lambda: set_seed(prompt, 5), lambda: set_value(prompt, "5.text=x")):
        with suppress(WorkflowError):
            change()
    json.dumps(with_values(workflow, prompt, nodes) if is_graph(workflow) else prompt)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_used_or_refused(graph: dict[str, Any], seed: int) -> None:
    choose = random.Random(seed)
    examples = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(EXAMPLES.glob("*.json"))]
    # What only the editor looks at would take most of the damage.
    kept = ("id", "type", "mode", "inputs", "outputs", "widgets_values", "title")
    for example in examples:
        example["nodes"] = [{key: node[key] for key in kept if key in node} for node in example["nodes"]]
    graphs = [(graph, NODES), *((example, description(example)) for example in examples)]
    refused = 0
    for _ in range(150):
        workflow, nodes = choose.choice(graphs)
        if choose.random() < 0.3:
            workflow = to_prompt(workflow, nodes)
        if choose.random() < 0.2:
            nodes = {name: found for name, found in damaged(nodes, choose).items() if isinstance(found, dict)}
        try:
            use(damaged(workflow, choose), nodes)
        except WorkflowError as error:
            assert re.search(r"\bnode|\blink", str(error))
            refused += 1
    assert 20 < refused < 130

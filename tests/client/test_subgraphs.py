"""Subgraphs: their nodes take the place of the node that stands for them, with the values that this one holds."""

from __future__ import annotations

import copy
import random
import re
from typing import Any

import pytest
from animatelcm.client.workflow import BYPASSED, MUTED, WorkflowError, set_text, set_value, to_prompt, with_values
from animatelcm.tests.client.graphs import NODES, entry
from animatelcm.tests.client.test_broken_workflows import damaged, use

SAMPLING = "3f0a8d26-sampling"
OUTER = "77c1b2aa-outer"


def link(number: int, origin: int, output: int, target: int, place: int, kind: str = "*") -> dict[str, Any]:
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return dict(zip(names, (number, origin, output, target, place, kind), strict=True))


def socket(name: str, kind: str, number: int | None, widget: bool = False) -> dict[str, Any]:
    return {"name": name, "type": kind, "link": number} | ({"widget": {"name": name}} if widget else {})


@pytest.fixture
def nested(graph: dict[str, Any]) -> dict[str, Any]:
    """The graph of the other tests with Text and Sampler in a subgraph, whose text and steps are promoted."""
    text = entry(3, "Text", {"clip": 1}, ["CONDITIONING"], ["a cat"])
    text["inputs"].append(socket("text", "STRING", 5, widget=True))
    sampler = entry(4, "Sampler", {"model": 2, "positive": 3}, ["LATENT"], [7, "randomize", 25, 3.0])
    sampler["inputs"].append(socket("steps", "INT", 6, widget=True))
    definition = {
        "id": SAMPLING, "name": "Sampling", "nodes": [text, sampler],
        "links": [link(1, -10, 1, 3, 0), link(2, -10, 0, 4, 0), link(3, 3, 0, 4, 1), link(4, 4, 0, -20, 0),
                  link(5, -10, 2, 3, 1), link(6, -10, 3, 4, 2)],
        "inputs": [{"name": "model", "type": "MODEL", "linkIds": [2]}, {"name": "clip", "type": "CLIP", "linkIds": [1]},
                   {"name": "prompt", "type": "STRING", "linkIds": [5]},
                   {"name": "steps", "type": "INT", "linkIds": [6]}],
        "outputs": [{"name": "LATENT", "type": "LATENT", "linkIds": [4]}],
    }
    stands = entry(9, SAMPLING, {"model": 3, "clip": 2}, ["LATENT"], [])
    stands["inputs"] += [socket("prompt", "STRING", None, widget=True), socket("steps", "INT", None, widget=True)]
    last = entry(10, "Pass", {"model": 7}, ["MODEL"], [0.5])
    graph["nodes"] = [*graph["nodes"][:2], stands, last]
    graph["links"] = [[1, 1, 0, 2, 0, "MODEL"], [2, 1, 1, 9, 1, "CLIP"], [3, 2, 0, 9, 0, "MODEL"],
                      [7, 9, 0, 10, 0, "LATENT"]]
    graph["definitions"] = {"subgraphs": [definition]}
    return graph


@pytest.fixture
def outer(nested: dict[str, Any]) -> dict[str, Any]:
    """The same with that subgraph in another one, which promotes the text further."""
    stands = copy.deepcopy(nested["nodes"][2])
    for place, number in enumerate((1, 2, 3)):
        stands["inputs"][place]["link"] = number
    nested["definitions"]["subgraphs"].append({
        "id": OUTER, "name": "Outer", "nodes": [stands],
        "links": [link(1, -10, 0, 9, 0), link(2, -10, 1, 9, 1), link(3, -10, 2, 9, 2), link(4, 9, 0, -20, 0)],
        "inputs": [{"name": "model", "linkIds": [1]}, {"name": "clip", "linkIds": [2]},
                   {"name": "words", "linkIds": [3]}],
        "outputs": [{"name": "LATENT", "linkIds": [4]}]})
    nested["nodes"][2].update(type=OUTER)
    nested["nodes"][2]["inputs"] = [*nested["nodes"][2]["inputs"][:2], socket("words", "STRING", None, widget=True)]
    return nested


def inputs(workflow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node_id: node["inputs"] for node_id, node in to_prompt(workflow, NODES).items()}


def stands_for(workflow: dict[str, Any]) -> dict[str, Any]:
    return workflow["nodes"][2]


def within(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return workflow["definitions"]["subgraphs"][0]["nodes"]


def test_the_nodes_of_a_subgraph_stand_in_its_place(nested: dict[str, Any]) -> None:
    assert inputs(nested) == {
        "1": {"name": "b.safetensors"}, "2": {"model": ["1", 0], "amount": 0.5},
        "9:3": {"text": "a cat", "clip": ["1", 1]},
        "9:4": {"model": ["2", 0], "seed": 7, "steps": 25, "positive": ["9:3", 0], "cfg": 3.0},
        "10": {"model": ["9:4", 0], "amount": 0.5}}


def test_a_subgraph_in_a_subgraph(outer: dict[str, Any]) -> None:
    found = inputs(outer)
    assert list(found) == ["1", "2", "9:9:3", "9:9:4", "10"]
    assert found["9:9:4"]["model"] == ["2", 0]
    assert found["10"]["model"] == ["9:9:4", 0]


@pytest.mark.parametrize(("values", "proxies", "expected"), [
    # By the order of the inputs that are widgets, a missing one being that of the node within.
    (["a dog", 8], None, ("a dog", 8)), (["a dog"], None, ("a dog", 25)), ([None, 8], None, ("a cat", 8)),
    # As older editors wrote them: by node and input, or by the subgraph's own input.
    ([8, "a dog"], [["4", "steps"], ["3", "text"]], ("a dog", 8)),
    ([8, "a dog"], [["-1", "steps"], ["-1", "prompt"]], ("a dog", 8)),
    ([], [["3", "text"], ["4", "steps"]], ("a cat", 25)),
])
def test_promoted_values_are_those_of_the_outer_node(nested: dict[str, Any], values: list[Any], proxies: Any,
                                                     expected: tuple[Any, Any]) -> None:
    stands_for(nested)["widgets_values"] = values
    stands_for(nested)["properties"] = {} if proxies is None else {"proxyWidgets": proxies}
    found = inputs(nested)
    assert (found["9:3"]["text"], found["9:4"]["steps"]) == expected


def test_values_of_older_files_for_inputs_that_the_subgraph_does_not_have(nested: dict[str, Any]) -> None:
    stands_for(nested)["widgets_values"] = ["a dog", 8, 1.5]
    stands_for(nested)["properties"] = {"proxyWidgets": [["3", "text"], ["4", "steps"], ["4", "cfg"]]}
    assert inputs(nested)["9:4"]["cfg"] == 1.5


@pytest.mark.parametrize("name", ["prompt", "text", "3: text", "9: 3: text"])
def test_widgets_that_older_files_promote_from_further_below(outer: dict[str, Any], name: str) -> None:
    """By the name of the inner subgraph's input, or of the widget itself, with the ids of the nodes on the way."""
    definition = outer["definitions"]["subgraphs"][1]
    definition["inputs"].pop()
    definition["nodes"][0]["inputs"][2]["link"] = None
    stands_for(outer)["inputs"].pop()
    stands_for(outer).update(properties={"proxyWidgets": [["9", name]]}, widgets_values=["a dog"])
    assert inputs(outer)["9:9:3"]["text"] == "a dog"


def test_values_that_an_editor_found_no_place_for(nested: dict[str, Any]) -> None:
    stands_for(nested)["properties"] = {"proxyWidgetErrorQuarantine": [
        {"originalEntry": ["-1", "prompt"], "reason": "missingSourceNode", "hostValue": "a dog"}]}
    assert inputs(nested)["9:3"]["text"] == "a dog"


def test_the_outermost_value_counts(outer: dict[str, Any]) -> None:
    inner = outer["definitions"]["subgraphs"][1]["nodes"][0]
    inner["widgets_values"] = ["a bird", 8]
    assert inputs(outer)["9:9:3"]["text"] == "a bird"
    stands_for(outer)["widgets_values"] = ["a dog"]
    assert (inputs(outer)["9:9:3"]["text"], inputs(outer)["9:9:4"]["steps"]) == ("a dog", 8)


def test_a_link_to_a_promoted_widget_counts_more_than_its_value(nested: dict[str, Any]) -> None:
    nested["nodes"].append(entry(6, "PrimitiveNode", {}, ["STRING"], ["a bird", "fixed"]))
    nested["links"].append([8, 6, 0, 9, 2, "STRING"])
    stands_for(nested)["inputs"][2]["link"] = 8
    stands_for(nested)["widgets_values"] = ["a dog", 8]
    assert inputs(nested)["9:3"]["text"] == "a bird"


def test_a_primitive_within_a_subgraph(nested: dict[str, Any]) -> None:
    definition = nested["definitions"]["subgraphs"][0]
    definition["nodes"].append(entry(5, "PrimitiveNode", {}, ["INT"], [12, "fixed"]))
    definition["links"][5] = link(6, 5, 0, 4, 2)
    definition["inputs"].pop()
    stands_for(nested)["inputs"].pop()
    assert inputs(nested)["9:4"]["steps"] == 12
    stands_for(nested)["properties"] = {"proxyWidgets": [["3", "text"], ["5", "value"]]}
    stands_for(nested)["widgets_values"] = ["a dog", 8]
    assert inputs(nested)["9:4"]["steps"] == 8


@pytest.mark.parametrize("mode", [MUTED, BYPASSED])
def test_a_subgraph_that_is_switched_off_has_no_nodes(nested: dict[str, Any], mode: int) -> None:
    stands_for(nested)["mode"] = mode
    stands_for(nested)["outputs"] = [{"name": "LATENT", "type": "MODEL"}]
    nested["nodes"][3]["inputs"][0]["type"] = "MODEL"
    found = inputs(nested)
    assert list(found) == ["1", "2", "10"]
    assert found["10"].get("model") == (["2", 0] if mode == BYPASSED else None)


@pytest.mark.parametrize("mode", [MUTED, BYPASSED])
def test_a_node_within_that_is_switched_off(nested: dict[str, Any], mode: int) -> None:
    within(nested)[1]["mode"] = mode
    within(nested)[1]["outputs"] = [{"name": "LATENT", "type": "MODEL"}]
    nested["nodes"][3]["inputs"][0]["type"] = "MODEL"
    found = inputs(nested)
    assert "9:4" not in found
    assert found["10"].get("model") == (["2", 0] if mode == BYPASSED else None)


def test_an_inner_subgraph_that_is_switched_off_runs_none_of_its_nodes(outer: dict[str, Any]) -> None:
    outer["definitions"]["subgraphs"][1]["nodes"][0]["mode"] = MUTED
    assert list(inputs(outer)) == ["1", "2", "10"]


def test_one_subgraph_twice_has_the_values_of_each(nested: dict[str, Any]) -> None:
    again = copy.deepcopy(stands_for(nested)) | {"id": 11, "widgets_values": ["a dog", 8]}
    nested["nodes"].append(again)
    found = inputs(nested)
    assert (found["9:3"]["text"], found["11:3"]["text"]) == ("a cat", "a dog")


@pytest.mark.parametrize("values", [[], ["a bird", 4]])
@pytest.mark.parametrize("which", ["nested", "outer"])
def test_changed_values_go_back_to_where_they_came_from(request: pytest.FixtureRequest, which: str,
                                                        values: list[Any]) -> None:
    workflow = request.getfixturevalue(which)
    stands_for(workflow)["widgets_values"] = values[:2 if which == "nested" else 1]
    prompt = to_prompt(workflow, NODES)
    set_text(prompt, "a dog")
    set_value(prompt, "Sampler.steps=8")
    changed = with_values(workflow, prompt, NODES)
    assert to_prompt(changed, NODES) == prompt
    assert to_prompt(workflow, NODES) != prompt


def test_a_value_that_two_share_and_that_differs_now_stays(nested: dict[str, Any]) -> None:
    nested["nodes"].append(copy.deepcopy(stands_for(nested)) | {"id": 11})
    prompt = to_prompt(nested, NODES)
    set_value(prompt, "9:3.text=a dog")
    assert within(with_values(nested, prompt, NODES))[0]["widgets_values"] == ["a cat"]
    set_value(prompt, "11:3.text=a dog")
    assert within(with_values(nested, prompt, NODES))[0]["widgets_values"] == ["a dog"]


def _definition(workflow: dict[str, Any]) -> dict[str, Any]:
    return workflow["definitions"]["subgraphs"][0]


BROKEN = {
    "in itself": (lambda g: within(g).append(entry(5, SAMPLING, {}, [], [])), "node 9:5 .* contains itself"),
    "no output": (lambda g: _definition(g)["outputs"].clear(), "subgraph of node 9 has no output 0"),
    "no input": (lambda g: _definition(g)["inputs"].clear(), r"subgraph of node 9 has no input"),
    "no list": (lambda g: _definition(g).update(nodes=7), "nodes of the workflow.* are no list"),
    "no definition": (lambda g: g["definitions"]["subgraphs"].append(7), "list of subgraphs.*7"),
    "an input that is none": (lambda g: _definition(g)["inputs"].append({"name": 5}), "'Sampling' has inputs"),
    "a link from nowhere": (lambda g: _definition(g)["links"].pop(2), r"'positive' of node 9:4 \(Sampler\).*nowhere"),
    "two of one id": (lambda g: within(g)[0].update(id=4), "two nodes have the id 9:4"),
    "unknown": (lambda g: within(g)[0].update(type="Gone"), "node 9:3 is a Gone, which this server does not have"),
    "not defined": (lambda g: g.pop("definitions"), "node 9 is a 3f0a8d26-sampling"),
    "a circle": (lambda g: (_definition(g)["links"][3].update(origin_id=-10),
                            g["links"][2].__setitem__(1, 9)), "'model' of node 9:4 .*circle"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_subgraph_is_refused_by_name(nested: dict[str, Any], name: str) -> None:
    damage, message = BROKEN[name]
    damage(nested)
    with pytest.raises(WorkflowError, match=message):
        to_prompt(nested, NODES)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("which", ["nested", "outer"])
def test_damaged_subgraphs_are_used_or_refused(request: pytest.FixtureRequest, which: str, seed: int) -> None:
    workflow, choose, refused = request.getfixturevalue(which), random.Random(seed), 0
    stands_for(workflow).update(properties={"proxyWidgets": [["3", "text"], ["-1", "steps"]]}, widgets_values=["a", 8])
    for _ in range(150):
        try:
            use(damaged(workflow, choose), NODES)
        except WorkflowError as error:
            assert re.search(r"\bnode|\blink|\bsubgraph", str(error))
            refused += 1
    assert 20 < refused < 130

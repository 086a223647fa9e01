"""Graphs to prompts: widget values find their inputs, links are followed, and what cannot be done is said."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from animatelcm.client.workflow import (
    BYPASSED,
    MUTED,
    WorkflowError,
    load,
    set_seed,
    set_text,
    set_value,
    to_prompt,
    widget_values,
    with_values,
)

NODES = {
    "Loader": {"input": {"required": {"name": [["a.safetensors", "b.safetensors"]]}}},
    "Text": {"input": {"required": {"text": ["STRING", {"multiline": True}], "clip": ["CLIP", {}]}}},
    "Pass": {"input": {"required": {"model": ["MODEL"], "amount": ["FLOAT", {"default": 1.0}]}}},
    "Sampler": {"input": {"required": {
        "model": ["MODEL"], "seed": ["INT", {"control_after_generate": True}], "steps": ["INT", {"default": 20}],
        "positive": ["CONDITIONING"]}, "optional": {"cfg": ["FLOAT", {"default": 7.0}]}}},
    "Save": {"input": {"required": {
        "video": ["VIDEO"], "prefix": ["STRING", {}],
        "codec": ["COMFY_DYNAMICCOMBO_V3", {"options": [
            {"key": "auto", "inputs": {"required": {}}},
            {"key": "h264", "inputs": {"required": {"crf": ["FLOAT", {"default": 23.0}]}}}]}]}}},
}


def entry(node_id: int, kind: str, inputs: dict[str, int | None], outputs: list[str], values: list[Any],
          mode: int = 0) -> dict[str, Any]:
    kinds = {"model": "MODEL", "positive": "CONDITIONING", "clip": "CLIP", "video": "VIDEO", "steps": "INT", "": "*"}
    return {"id": node_id, "type": kind, "mode": mode, "widgets_values": values,
            "inputs": [{"name": name, "type": kinds[name], "link": link} for name, link in inputs.items()],
            "outputs": [{"name": name, "type": name} for name in outputs]}


@pytest.fixture
def graph() -> dict[str, Any]:
    return {
        "nodes": [
            entry(1, "Loader", {}, ["MODEL", "CLIP"], ["b.safetensors"]),
            entry(2, "Pass", {"model": 1}, ["MODEL"], [0.5]),
            entry(3, "Text", {"clip": 2}, ["CONDITIONING"], ["a cat"]),
            entry(4, "Sampler", {"model": 3, "positive": 4}, ["LATENT"], [7, "randomize", 25, 3.0]),
            entry(5, "MarkdownNote", {}, [], ["read me"]),
        ],
        "links": [[1, 1, 0, 2, 0, "MODEL"], [2, 1, 1, 3, 0, "CLIP"], [3, 2, 0, 4, 0, "MODEL"],
                  [4, 3, 0, 4, 1, "CONDITIONING"]],
    }


def test_values_and_links_find_their_inputs(graph: dict[str, Any]) -> None:
    prompt = to_prompt(graph, NODES)
    assert {node_id: node["inputs"] for node_id, node in prompt.items()} == {
        "1": {"name": "b.safetensors"},
        "2": {"model": ["1", 0], "amount": 0.5},
        "3": {"text": "a cat", "clip": ["1", 1]},
        "4": {"model": ["2", 0], "seed": 7, "steps": 25, "positive": ["3", 0], "cfg": 3.0},
    }


@pytest.mark.parametrize(("name", "options", "more"), [
    ("seed", {}, True), ("noise_seed", {}, True), ("rate", {}, False), ("rate", {"control_after_generate": True}, True),
    ("seed", {"control_after_generate": False}, False),
])
def test_the_widget_behind_a_seed_is_no_value(name: str, options: dict[str, Any], more: bool) -> None:
    described = {"required": {name: ["INT", options], "steps": ["INT", {}]}}
    assert widget_values([7, *["randomize"] * more, 25], described) == {name: 7, "steps": 25}


def test_links_saved_as_objects(graph: dict[str, Any]) -> None:
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    objects = copy.deepcopy(graph)
    objects["links"] = [dict(zip(names, link, strict=True)) for link in graph["links"]]
    assert to_prompt(objects, NODES) == to_prompt(graph, NODES)


def test_bypassed_node_hands_its_input_on(graph: dict[str, Any]) -> None:
    graph["nodes"][1]["mode"] = BYPASSED
    prompt = to_prompt(graph, NODES)
    assert "2" not in prompt
    assert prompt["4"]["inputs"]["model"] == ["1", 0]


def test_muted_node_feeds_nothing(graph: dict[str, Any]) -> None:
    graph["nodes"][1]["mode"] = MUTED
    prompt = to_prompt(graph, NODES)
    assert "2" not in prompt
    assert "model" not in prompt["4"]["inputs"]


def test_reroute_is_looked_through(graph: dict[str, Any]) -> None:
    graph["nodes"].append(entry(6, "Reroute", {"": 3}, ["MODEL"], []))
    graph["links"].append([5, 6, 0, 4, 0, "MODEL"])
    graph["nodes"][3]["inputs"][0]["link"] = 5
    assert to_prompt(graph, NODES)["4"]["inputs"]["model"] == ["2", 0]


def test_primitive_gives_its_value(graph: dict[str, Any]) -> None:
    graph["nodes"].append(entry(6, "PrimitiveNode", {}, ["INT"], [8, "fixed"]))
    graph["links"].append([5, 6, 0, 4, 2, "INT"])
    graph["nodes"][3]["inputs"].append({"name": "steps", "type": "INT", "widget": {"name": "steps"}, "link": 5})
    assert to_prompt(graph, NODES)["4"]["inputs"]["steps"] == 8


def test_linked_widget_keeps_the_order_of_the_others(graph: dict[str, Any]) -> None:
    graph["nodes"][3]["inputs"].append({"name": "steps", "type": "INT", "widget": {"name": "steps"}, "link": 1})
    inputs = to_prompt(graph, NODES)["4"]["inputs"]
    assert (inputs["seed"], inputs["steps"], inputs["cfg"]) == (7, ["1", 0], 3.0)


def test_unknown_node_is_named(graph: dict[str, Any]) -> None:
    graph["nodes"][1]["type"] = "FromAnotherPack"
    with pytest.raises(WorkflowError, match="node 2 is a FromAnotherPack"):
        to_prompt(graph, NODES)


def test_prompt_stays_as_it_is(graph: dict[str, Any]) -> None:
    prompt = to_prompt(graph, NODES)
    again = to_prompt(prompt, NODES)
    assert again == prompt
    assert again is not prompt


@pytest.mark.parametrize(("values", "expected"), [
    (["video/x", "auto"], {"prefix": "video/x", "codec": "auto"}),
    (["video/x", "h264", 18.0], {"prefix": "video/x", "codec": "h264", "codec.crf": 18.0}),
    (["video/x", "h264"], {"prefix": "video/x", "codec": "h264", "codec.crf": 23.0}),
    (["video/x"], {"prefix": "video/x", "codec": "auto"}),
    ({"prefix": "video/x", "codec": "auto", "button": 1}, {"prefix": "video/x", "codec": "auto"}),
])
def test_choices_with_inputs_of_their_own(values: Any, expected: dict[str, Any]) -> None:
    assert widget_values(values, NODES["Save"]["input"]) == expected


def test_text_behind_positive_is_set(graph: dict[str, Any]) -> None:
    prompt = to_prompt(graph, NODES)
    prompt["9"] = {"class_type": "Text", "inputs": {"text": "ugly", "clip": ["1", 1]}}
    set_text(prompt, "a dog")
    assert (prompt["3"]["inputs"]["text"], prompt["9"]["inputs"]["text"]) == ("a dog", "ugly")


def test_text_is_found_through_a_node_with_both_conditionings(graph: dict[str, Any]) -> None:
    prompt = to_prompt(graph, NODES)
    prompt["8"] = {"class_type": "Text", "inputs": {"text": "ugly", "clip": ["1", 1]}}
    prompt["9"] = {"class_type": "Control", "inputs": {"positive": ["3", 0], "negative": ["8", 0]}}
    prompt["4"]["inputs"]["positive"] = ["9", 0]
    set_text(prompt, "a dog")
    assert (prompt["3"]["inputs"]["text"], prompt["8"]["inputs"]["text"]) == ("a dog", "ugly")


@pytest.mark.parametrize(("text", "expected"), [
    ("a dog", '0: "a dog"'), ('say "hi", 2: x', '0: "say \\"hi\\", 2: x"'),
    ("0: a dog, 8: a cat", "0: a dog, 8: a cat"),
    ('"4" : a dog', '"4" : a dog'), ("4k, a dog", '0: "4k, a dog"'),
])
def test_text_of_a_prompt_schedule_is_one(graph: dict[str, Any], text: str, expected: str) -> None:
    prompt = to_prompt(graph, NODES)
    prompt["3"]["class_type"] = "AnimateLCM_PromptSchedule"
    set_text(prompt, text)
    assert prompt["3"]["inputs"]["text"] == expected


def test_seed_is_set_and_a_linked_one_left(graph: dict[str, Any]) -> None:
    prompt = to_prompt(graph, NODES)
    set_seed(prompt, 11)
    assert prompt["4"]["inputs"]["seed"] == 11
    prompt["4"]["inputs"]["seed"] = ["1", 0]
    with pytest.raises(WorkflowError, match="no seed"):
        set_seed(prompt, 12)


@pytest.mark.parametrize("place", ["4", "Sampler", "Fine sampler"])
def test_value_by_id_class_and_title(graph: dict[str, Any], place: str) -> None:
    graph["nodes"][3]["title"] = "Fine sampler"
    prompt = to_prompt(graph, NODES)
    set_value(prompt, f"{place}.steps=4")
    assert prompt["4"]["inputs"]["steps"] == 4


@pytest.mark.parametrize(("assignment", "message"), [
    ("steps=4", "NODE.INPUT=VALUE"), ("Nobody.steps=4", "no node 'Nobody'"), ("Sampler.stepz=4", "no input 'stepz'"),
])
def test_value_that_cannot_be_set_is_named(graph: dict[str, Any], assignment: str, message: str) -> None:
    with pytest.raises(WorkflowError, match=message):
        set_value(to_prompt(graph, NODES), assignment)


def test_changed_values_go_back_into_the_graph(graph: dict[str, Any]) -> None:
    prompt = to_prompt(graph, NODES)
    set_text(prompt, "a dog")
    set_seed(prompt, 11)
    changed = with_values(graph, prompt, NODES)
    assert to_prompt(changed, NODES) == prompt
    assert graph["nodes"][2]["widgets_values"] == ["a cat"]
    assert changed["nodes"][3]["widgets_values"] == [11, "randomize", 25, 3.0]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"1": {"inputs": {}}}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "workflow.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WorkflowError, match=r"workflow\.json"):
        load(path)


def test_files_of_both_kinds_are_read(tmp_path: Path, graph: dict[str, Any]) -> None:
    for workflow in (graph, to_prompt(graph, NODES)):
        path = tmp_path / "workflow.json"
        path.write_text(json.dumps(workflow), encoding="utf-8")
        assert load(path) == workflow

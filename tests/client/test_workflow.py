"""Graphs to prompts: widget values find their inputs, links are followed, and what cannot be done is said."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from animatelcm.client.widgets import as_value, read_widgets
from animatelcm.client.workflow import (
    BYPASSED,
    MUTED,
    WorkflowError,
    load,
    set_seed,
    set_text,
    set_value,
    to_prompt,
    with_values,
)
from animatelcm.tests.client.graphs import NODES, entry


def widget_values(values: Any, described: dict[str, Any]) -> dict[str, Any]:
    return {saved.name: as_value(saved.value) for saved in read_widgets(values, described) if saved.value is not None}


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


@pytest.mark.parametrize(("values", "expected"), [
    ([7, "randomize", 25], {"seed": 7, "steps": 25}), ([7, None, 25], {"seed": 7, "steps": 25}),
    ([7, 25], {"seed": 7, "steps": 25}), ([7], {"seed": 7, "steps": 20}),
])
def test_a_file_saved_without_the_widget_behind_a_seed_shifts_nothing(values: list[Any], expected: Any) -> None:
    described = {"required": {"seed": ["INT", {"control_after_generate": True}], "steps": ["INT", {"default": 20}]}}
    assert widget_values(values, described) == expected


def test_a_seed_among_the_inputs_of_a_choice_has_no_widget_behind_it() -> None:
    on = {"key": "on", "inputs": {"required": {"seed": ["INT", {}]}, "optional": {"penalty": ["FLOAT", {}]}}}
    described = {"required": {"mode": ["COMFY_DYNAMICCOMBO_V3", {"options": [on]}]},
                 "optional": {"thinking": ["BOOLEAN", {}], "steps": ["INT", {}]}}
    assert widget_values(["on", 3, 0.5, True, 8], described) == {
        "mode": "on", "mode.seed": 3, "mode.penalty": 0.5, "thinking": True, "steps": 8}


@pytest.mark.parametrize(("described", "values", "expected"), [
    # The button for uploads stands behind all required widgets, before the optional ones.
    ({"required": {"image": [["a.png"], {"image_upload": True}], "channel": [["red", "alpha"]]},
      "optional": {"amount": ["INT", {}]}}, ["a.png", "alpha", "image", 3],
     {"image": "a.png", "channel": "alpha", "amount": 3}),
    # Types that a link may have are several; the widget says one.
    ({"required": {"rate": ["FLOAT,INT", {"widgetType": "FLOAT"}], "size": ["INT", {}]}}, [25, 1],
     {"rate": 25, "size": 1}),
    ({"required": {"colours": ["COLORS", {}], "size": ["INT", {}]}}, [["#000", "#fff"], 1],
     {"colours": {"__value__": ["#000", "#fff"]}, "size": 1}),
])
def test_values_of_special_widgets(described: dict[str, Any], values: list[Any], expected: dict[str, Any]) -> None:
    assert widget_values(values, described) == expected


def test_what_the_editor_sends_without_saving_it_is_sent() -> None:
    described = {"required": {"compare_view": ["IMAGECOMPARE", {"socketless": True}], "size": ["INT", {}]}}
    assert widget_values([3], described) == {"compare_view": {"__value__": ["", ""]}, "size": 3}


def test_a_picture_that_only_the_editor_draws_is_refused() -> None:
    described = {"required": {"file": [["a.glb"]], "image": ["LOAD_3D", {}], "width": ["INT", {}]}}
    with pytest.raises(WorkflowError, match="'image' is a picture that only the editor can draw"):
        widget_values(["a.glb", "", 1024], described)


def test_a_widget_that_a_newer_node_has_at_the_end_is_left_out(graph: dict[str, Any]) -> None:
    expected = to_prompt(graph, NODES)
    graph["nodes"][3]["widgets_values"].append(9)
    assert to_prompt(graph, NODES) == expected


@pytest.mark.parametrize("values", [
    [7, "randomize", "fixed", 3.0], [7, "randomize", 2.5], ["7", "randomize", 25], [True, "randomize", 25],
    [7, "randomize", 25, False],
])
def test_values_of_another_version_of_a_node_are_refused(graph: dict[str, Any], values: list[Any]) -> None:
    graph["nodes"][3]["widgets_values"] = values
    with pytest.raises(WorkflowError, match=r"node 4 \(Sampler\).*Export"):
        to_prompt(graph, NODES)


@pytest.mark.parametrize("names", [["steps", "seed"], ["seed", "gone", "steps"]])
def test_widgets_that_the_file_lists_in_another_order_are_refused(graph: dict[str, Any], names: list[str]) -> None:
    graph["nodes"][3]["inputs"] += [{"name": name, "widget": {"name": name}, "link": None} for name in names]
    with pytest.raises(WorkflowError, match=r"node 4 \(Sampler\): the file lists"):
        to_prompt(graph, NODES)


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


def test_nodes_without_inputs_and_values_are_read(graph: dict[str, Any]) -> None:
    del graph["nodes"][0]["inputs"], graph["nodes"][0]["widgets_values"]
    assert to_prompt(graph, NODES)["1"]["inputs"] == {"name": "a.safetensors"}


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
    ("steps=4", "NODE.INPUT=VALUE"), ("steps", "NODE.INPUT=VALUE"),
    ("Nobody.steps=4", "no node 'Nobody'"), ("Sampler.stepz=4", "no input 'stepz'"),
])
def test_value_that_cannot_be_set_is_named(graph: dict[str, Any], assignment: str, message: str) -> None:
    with pytest.raises(WorkflowError, match=message):
        set_value(to_prompt(graph, NODES), assignment)


def test_value_of_an_input_with_a_dot() -> None:
    prompt = {"3": {"class_type": "Save", "inputs": {"codec": "h264", "codec.crf": 23.0}, "_meta": {"title": "v1.0"}}}
    set_value(prompt, "v1.0.codec.crf=18")
    assert prompt["3"]["inputs"]["codec.crf"] == 18


def test_value_of_nodes_that_differ_is_not_set(graph: dict[str, Any]) -> None:
    prompt = to_prompt(graph, NODES)
    prompt["9"] = {"class_type": "Text", "inputs": {"text": "ugly", "clip": ["1", 1]}}
    with pytest.raises(WorkflowError, match="2 nodes with different values.*3, 9"):
        set_value(prompt, "Text.text=a dog")
    assert (prompt["3"]["inputs"]["text"], prompt["9"]["inputs"]["text"]) == ("a cat", "ugly")


def test_value_of_a_primitive_goes_back_into_it(graph: dict[str, Any]) -> None:
    graph["nodes"].append(entry(6, "PrimitiveNode", {}, ["STRING"], ["a cat", "fixed"]))
    graph["links"].append([5, 6, 0, 3, 1, "STRING"])
    graph["nodes"][2]["inputs"].append({"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": 5})
    prompt = to_prompt(graph, NODES)
    set_text(prompt, "a dog")
    changed = with_values(graph, prompt, NODES)
    assert changed["nodes"][5]["widgets_values"] == ["a dog", "fixed"]
    assert to_prompt(changed, NODES) == prompt


def test_changed_values_go_back_into_the_graph(graph: dict[str, Any]) -> None:
    prompt = to_prompt(graph, NODES)
    set_text(prompt, "a dog")
    set_seed(prompt, 11)
    changed = with_values(graph, prompt, NODES)
    assert to_prompt(changed, NODES) == prompt
    assert graph["nodes"][2]["widgets_values"] == ["a cat"]
    assert changed["nodes"][3]["widgets_values"] == [11, "randomize", 25, 3.0]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"1": {"inputs": {}}}', "[" * 5000,
                                  '{"nodes": [' + "[" * 200 + "]" * 202 + "}"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "workflow.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WorkflowError, match=r"workflow\.json"):
        load(path)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkflowError, match=r"workflow\.json cannot be read"):
        load(tmp_path / "workflow.json")
    (tmp_path / "workflow.json").write_bytes(b"\xff\xfe")
    with pytest.raises(WorkflowError, match=r"workflow\.json is not a JSON file"):
        load(tmp_path / "workflow.json")


def test_files_of_both_kinds_are_read(tmp_path: Path, graph: dict[str, Any]) -> None:
    for workflow in (graph, to_prompt(graph, NODES)):
        path = tmp_path / "workflow.json"
        path.write_text(json.dumps(workflow), encoding="utf-8")
        assert load(path) == workflow

"""Blueprints and app mode: what the editor is given to hide the wiring fits our nodes and fits together."""

import json
from pathlib import Path

import pytest
from animatelcm.host.folders import register_folders
from animatelcm.nodes import NODES

register_folders()
ROOT = Path(__file__).resolve().parent.parent
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
SCHEMAS = {schema.node_id: schema for schema in (node.define_schema() for node in NODES)}
IN, OUT = -10, -20
"""The ids that links have at the edge of a subgraph."""


def parts(path):
    """Return the node that stands for a blueprint, and the subgraph that it stands for."""
    workflow = json.loads(path.read_text(encoding="utf-8"))
    [outside], [subgraph] = workflow["nodes"], workflow["definitions"]["subgraphs"]
    return outside, subgraph


def test_there_is_one_for_each_kind_of_video():
    assert {path.stem for path in BLUEPRINTS} == {
        f"{kind} to Video (AnimateLCM)" for kind in ("Text", "Image", "Video")} | {"Long Video (AnimateLCM)"}


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_every_link_joins_two_sockets_of_one_type_that_know_of_it(path):
    _, subgraph = parts(path)
    nodes = {node["id"]: node for node in subgraph["nodes"]}
    assert len(nodes) == len(subgraph["nodes"])
    for link in subgraph["links"]:
        at_edge = link["origin_id"] == IN
        source = (subgraph["inputs"] if at_edge else nodes[link["origin_id"]]["outputs"])[link["origin_slot"]]
        assert link["id"] in source["linkIds" if at_edge else "links"] and source["type"] == link["type"]
        if link["target_id"] == OUT:
            assert subgraph["outputs"][link["target_slot"]]["linkIds"] == [link["id"]]
            continue
        target = nodes[link["target_id"]]["inputs"][link["target_slot"]]
        assert target["link"] == link["id"] and target["type"] == link["type"], (path.stem, link)
    used = {socket["link"] for node in nodes.values() for socket in node["inputs"]} - {None}
    assert used == {link["id"] for link in subgraph["links"] if link["target_id"] != OUT}
    assert all(socket["linkIds"] for socket in subgraph["inputs"])


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_our_nodes_in_it_are_as_they_are_now(path):
    _, subgraph = parts(path)
    own = [node for node in subgraph["nodes"] if node["type"].startswith("AnimateLCM_")]
    assert len(own) >= 2
    for node in own:
        schema = SCHEMAS[node["type"]]
        assert {socket["name"] for socket in node["inputs"]} == {socket.id for socket in schema.inputs}
        assert [output["type"] for output in node["outputs"]] == [output.io_type for output in schema.outputs]
        widgets = [socket for socket in node["inputs"] if "widget" in socket]
        assert [socket["name"] for socket in widgets] == [
            socket.id for socket in schema.inputs if socket.io_type in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")]
        assert len(node["widgets_values"]) == len(widgets)


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_its_outside_shows_what_its_inside_asks_for(path):
    outside, subgraph = parts(path)
    assert outside["type"] == subgraph["id"] and outside["title"] == subgraph["name"] == path.stem
    assert [socket["name"] for socket in outside["inputs"]] == [socket["name"] for socket in subgraph["inputs"]]
    shown = [socket["name"] for socket in outside["inputs"] if "widget" in socket]
    assert len(outside["widgets_values"]) == len(shown)
    inside = {str(node["id"]): node for node in subgraph["nodes"]}
    for place, name in outside["properties"]["proxyWidgets"]:
        known = shown if place == "-1" else [socket["name"] for socket in inside[place]["inputs"]]
        assert name in (*known, "control_after_generate")
    # What the sampler is to be set to is what AnimateLCM was made for.
    sampler = next(node for node in subgraph["nodes"] if node["type"] == "KSampler")["widgets_values"]
    assert sampler[4:6] == ["lcm", "simple"] and 4 <= sampler[2] <= 8 and sampler[3] == 1.0
    assert subgraph["description"].endswith(".") and subgraph["category"].startswith("Video")


@pytest.mark.parametrize("name", ["01 Text to Video", "02 Image to Video"])
def test_app_mode_shows_inputs_and_an_output_that_the_example_has(name):
    workflow = json.loads((ROOT / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))
    nodes = {str(node["id"]): node for node in workflow["nodes"]}
    chosen = workflow["extra"]["linearData"]
    assert len(chosen["inputs"]) >= 5 and workflow["extra"]["linearMode"] is False
    for node, widget in chosen["inputs"]:
        # The names of widgets are those of their sockets; a file's loader may save none.
        assert widget in {socket["name"] for socket in nodes[node]["inputs"] if "widget" in socket}, (node, widget)
    assert [nodes[node]["type"] for node in chosen["outputs"]] == ["SaveVideo"]

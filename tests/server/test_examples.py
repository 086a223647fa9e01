"""The example workflows and the blueprints become prompts that a real server takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from animatelcm.client.api import ComfyClient, RunError
from animatelcm.client.workflow import load, to_prompt
from animatelcm.tools.hosts.server import Server
from animatelcm.tools.workflows.demo_prompts import with_demo

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "example_workflows").glob("*.json"))
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
NEWER = {"LoadVideoTextDataSetFromFolder"}
"""Nodes of examples that the oldest host that the pack supports does not have."""
FOLDERS = {"ckpt_name": "models/checkpoints", "lora_name": "models/loras", "motion_file": "models/animatediff_models",
           "image": "input"}
"""Where the files lie that an input names."""


@pytest.fixture(scope="module")
def described(server: Server) -> dict[str, Any]:
    """What the server says of its nodes."""
    return ComfyClient(server.url).object_info()


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def example(request: pytest.FixtureRequest, described: dict[str, Any]) -> dict[str, Any]:
    """The prompt of an example."""
    workflow = load(request.param)
    if NEWER & {node["type"] for node in workflow["nodes"]} - described.keys():
        pytest.skip("this ComfyUI lacks a node of it")
    return to_prompt(workflow, described)


@pytest.fixture
def users_files(example: dict[str, Any], described: dict[str, Any], server: Server) -> Iterator[None]:
    """Let the server have the files that an example names and that it does not list, as empty ones."""
    made = []
    for node in example.values():
        listed = str(described[node["class_type"]]["input"])
        made += [server.log.parent / FOLDERS[name] / value for name, value in node["inputs"].items()
                 if name in FOLDERS and isinstance(value, str) and repr(value) not in listed]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    yield
    for path in made:
        path.unlink()


def test_an_example_has_the_inputs_of_its_nodes(example: dict[str, Any], described: dict[str, Any]) -> None:
    for node in example.values():
        known = described[node["class_type"]]["input"]
        required = set(known["required"])
        assert required - set(node["inputs"]) == set(), node
        assert set(node["inputs"]) <= required | set(known.get("optional", {})), node


def test_the_server_takes_an_example(example: dict[str, Any], users_files: None, client: ComfyClient) -> None:
    client.cancel(client.queue(example))


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_the_server_takes_a_blueprint(path: Path, described: dict[str, Any], client: ComfyClient) -> None:
    client.cancel(client.queue(with_demo(to_prompt(load(path), described))))


def test_the_server_does_not_take_an_example_with_a_wrong_value(described: dict[str, Any],
                                                                client: ComfyClient) -> None:
    prompt = to_prompt(load(ROOT / "example_workflows" / "03 Text to Video Demo.json"), described)
    sampler = next(node for node in prompt.values() if node["class_type"] == "KSampler")
    sampler["inputs"]["scheduler"] = "sgm"
    with pytest.raises(RunError, match="KSampler.*scheduler: 'sgm' not in"):
        client.queue(prompt)

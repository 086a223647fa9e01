"""Graphs of other packs on a real server: migrated ones are valid and run, and ComfyUI replaces what means the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from animatelcm.client.api import ComfyClient, RunError, saved_files
from animatelcm.client.http import HttpServer
from animatelcm.client.workflow import to_prompt
from animatelcm.host.replacements import REPLACEMENTS
from animatelcm.migration.migrate import migrate
from animatelcm.migration.shapes import OLD_WIDGETS, SHAPES
from animatelcm.tests.migration.old_graphs import GRAPHS, SIZE, as_prompt, on_demo
from animatelcm.tools.hosts.server import Server
from animatelcm.tools.workflows.contact_sheet import frames_of

SAVED_FRAMES = {"gen1_uniform": [12], "gen2_looped": [12], "gen2_multivals": [12], "ip_adapter": [8],
                "video_to_video": [8, 8], "image_to_video": [8], "prompt_travel": [8]}


def kind_of(described: list[Any]) -> str:
    return "COMBO" if isinstance(described[0], list) or described[0].startswith("COMFY_DYNAMICCOMBO") else described[0]


@pytest.fixture(scope="module")
def nodes(server: Server) -> dict[str, Any]:
    """What the server says of its nodes."""
    return ComfyClient(server.url).object_info()


@pytest.mark.parametrize("kind", SHAPES)
def test_new_nodes_have_the_sockets_that_the_server_says(nodes: dict[str, Any], server: Server, kind: str) -> None:
    described = nodes[kind]
    shape = SHAPES[kind]
    inputs = {name: kind_of(entry) for group in ("required", "optional")
              for name, entry in (described["input"].get(group) or {}).items()}
    widgets = {name: kind for name, (kind, _) in shape.widgets.items()}
    if not server.host.version.startswith("0.24"):
        assert shape.sockets.items() | widgets.items() <= inputs.items()
        # As the editor saves them, by their places alone.
        order = [name for name, kind in inputs.items() if kind in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")]
        assert list(widgets) == order[:len(widgets)]
    required = (described["input"].get("required") or {}).keys()
    assert required <= shape.sockets.keys() | widgets.keys()
    assert list(shape.outputs.values()) == described["output"][:len(shape.outputs)]


@pytest.mark.parametrize("form", ["graph", "prompt"])
@pytest.mark.parametrize("name", GRAPHS)
def test_an_old_graph_runs(client: ComfyClient, nodes: dict[str, Any], tmp_path: Path, name: str, form: str) -> None:
    old = GRAPHS[name]()
    new, report = migrate(old if form == "graph" else as_prompt(old), nodes)
    prompt = on_demo(to_prompt(new, nodes))
    unknown = {f"node {node_id} ({node['class_type']})" for node_id, node in prompt.items()
               if node["class_type"] not in nodes}
    assert unknown <= report.left.keys()
    if form == "prompt":
        # The editor's form makes the same prompt, which has run or will: validation is enough.
        graph = on_demo(to_prompt(migrate(old, nodes)[0], nodes))
        assert sorted(entry["class_type"] for entry in prompt.values()) == sorted(
            entry["class_type"] for entry in graph.values())
        client.cancel(client.queue(prompt))
        return
    saved = saved_files(client.run(prompt))
    clips = [frames_of(client.download(entry, tmp_path / entry["filename"])) for entry in saved]
    assert [len(clip) for clip in clips] == SAVED_FRAMES[name]
    assert all(clip[0].size == (SIZE, SIZE) for clip in clips)


def test_the_editor_is_offered_the_replacements(server: Server) -> None:
    offered = HttpServer(server.url).json("/node_replacements")
    for old, new, taken, fixed, outputs in REPLACEMENTS:
        entry = next(entry for entry in offered[old] if entry["new_node_id"] == new)
        assert entry["old_widget_ids"] == list(OLD_WIDGETS[old])
        assert {part["new_id"] for part in entry["input_mapping"]} == taken.keys() | fixed.keys()
        assert [part["new_idx"] for part in entry["output_mapping"]] == list(range(outputs))


@pytest.mark.parametrize("entry", REPLACEMENTS, ids=lambda entry: entry[0])
def test_a_replacement_names_inputs_that_are_there(nodes: dict[str, Any], entry: tuple) -> None:
    _, new, taken, fixed, outputs = entry
    described = nodes[new]
    assert taken.keys() | fixed.keys() == described["input"]["required"].keys()
    assert outputs <= max(1, len(described["output"]))


def second_generation() -> dict[str, Any]:
    """A prompt of the second generation alone, which ComfyUI itself can replace node by node."""
    prompt = on_demo(as_prompt(GRAPHS["video_to_video"]()))
    kept = {node_id: node for node_id, node in prompt.items() if node["class_type"] not in (
        "VHS_LoadVideo", "VHS_VideoCombine", "VAEEncode", "ADE_AnimateDiffUnload")}
    sampler = next(node_id for node_id, node in kept.items() if node["class_type"] == "KSampler")
    image = next(node_id for node_id, node in kept.items() if node["class_type"] == "VAEDecode")
    wanted = {node_id: node for node_id, node in kept.items()
              if node["class_type"] not in ("KSampler", "VAEDecode") or node_id in (sampler, image)}
    latent = {"class_type": "ADE_EmptyLatentImageLarge", "inputs": {"width": SIZE, "height": SIZE, "batch_size": 8},
              "_meta": {"title": "latent"}}
    wanted[sampler]["inputs"] |= {"latent_image": ["latent", 0], "denoise": 1.0}
    video = {"class_type": "CreateVideo", "inputs": {"images": [image, 0], "fps": 8.0}, "_meta": {"title": "video"}}
    save = {"class_type": "SaveVideo", "_meta": {"title": "save"}, "inputs": {
        "video": ["video", 0], "filename_prefix": "replaced", "format": "auto", "codec": "auto"}}
    return wanted | {"latent": latent, "video": video, "save": save}


def test_a_prompt_with_old_nodes_is_replaced_and_runs(client: ComfyClient, tmp_path: Path) -> None:
    prompt = second_generation()
    evolved = next(node for node in prompt.values() if node["class_type"] == "ADE_UseEvolvedSampling")
    evolved["inputs"]["beta_schedule"] = "lcm >> sqrt_linear"
    [saved] = saved_files(client.run(prompt))
    assert len(frames_of(client.download(saved, tmp_path / "clip.mp4"))) == 8


def test_what_a_replacement_would_lose_is_refused_and_not_lost(client: ComfyClient) -> None:
    prompt = second_generation()
    prompt["windows"] = {"class_type": "ADE_StandardStaticContextOptions", "_meta": {"title": "old windows"},
                         "inputs": {"context_length": 16, "context_overlap": 4}}
    evolved = next(node for node in prompt.values() if node["class_type"] == "ADE_UseEvolvedSampling")
    evolved["inputs"]["context_options"] = ["windows", 0]
    with pytest.raises(RunError, match="old windows.*not be installed"):
        client.queue(prompt)

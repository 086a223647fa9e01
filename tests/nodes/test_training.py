"""The training nodes, from the sockets of one to those of the next and of the stock nodes."""

import pytest
import torch
from animatelcm.host.folders import register_folders
from animatelcm.nodes import training as nodes
from animatelcm.tests.host.training.training_data import data, short_runs
from animatelcm.tests.support import loaded_motion, tiny_model
from comfy_extras.nodes_train import LoraModelLoader, SaveLoRA

register_folders()


def execute(node, **given):
    """Run a node that takes lists, with its defaults, on the tiny preset."""
    settings = {socket.id: socket.default for socket in node.define_schema().inputs
                if getattr(socket, "default", None) is not None}
    chosen = settings | {"preset": "tiny", "steps": 2, "num_frames": 3, "preview_every": 1} | given
    known = {socket.id for socket in node.define_schema().inputs}
    lists = {key: value if isinstance(value, list) else [value] for key, value in chosen.items() if key in known}
    examples = data()
    with torch.inference_mode():
        return node.execute(latents=examples.latents, positive=examples.positive, negative=[examples.negative],
                            **lists).result


def test_the_stages_follow_one_another_and_feed_the_stock_nodes(tmp_path, monkeypatch):
    short_runs(monkeypatch, tmp_path)
    messages = []
    monkeypatch.setattr(nodes, "show_text", lambda node, text: messages.append(text))
    model, motion = tiny_model(), loaded_motion(tmp_path)
    lora, losses, steps = execute(nodes.DistillSpatialLoRA, model=model, seed=1)
    assert steps == len(losses["loss"]) == 2
    assert any(line.startswith("step 2 of 2") for line in messages)
    trained, same, _, _ = execute(nodes.DistillMotionModule, model=model, motion_module=motion, lora=[lora])
    assert same is lora
    followed, _, _ = execute(nodes.AdaptAdapter, model=model, motion_module=trained, train=nodes.IMAGE_ENCODER)
    nodes.SaveMotionModule.execute(followed, "mine")
    with_lora = LoraModelLoader.execute(model, lora, 1.0).result[0]
    assert len(with_lora.patches) == len([key for key in lora if key.endswith(".alpha")])
    SaveLoRA.execute(lora, "loras/mine", steps)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} >= {
        "spatial_lora.pt", "motion_module.pt", "image_to_video.pt", "mine_00001_.safetensors",
        "mine_2_steps_00001_.safetensors"}
    assert set(losses) == {"loss"}


def test_without_a_lora_the_motion_stage_asks_for_one(tmp_path, monkeypatch):
    short_runs(monkeypatch, tmp_path)
    with pytest.raises(ValueError, match="none is connected"):
        execute(nodes.DistillMotionModule, model=tiny_model(), motion_module=loaded_motion(tmp_path))


@pytest.mark.parametrize("node", [nodes.DistillSpatialLoRA, nodes.DistillMotionModule, nodes.AdaptAdapter])
def test_the_editor_leaves_the_seed_of_a_run_alone(node):
    """It gives every number named seed a new value for each queued run, unless told not to: nothing could resume."""
    [seed] = [socket for socket in node.define_schema().inputs if socket.id == "seed"]
    assert seed.as_dict()["control_after_generate"] is False

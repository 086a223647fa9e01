"""The training nodes, from the sockets of one to those of the next and of the stock nodes."""

import pytest
import torch
from animatelcm.host.folders import register_folders
from animatelcm.nodes import training as nodes
from animatelcm.nodes import training_sockets
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
    monkeypatch.setattr(training_sockets, "show_text", lambda node, text: messages.append(text))
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


def test_every_socket_of_a_run_is_what_it_is_called(monkeypatch):
    """What reaches the host's function, in place of which nothing is trained."""
    from animatelcm.host.training import runs

    asked = {}

    def standing_for(name, result):
        def train(*given):
            asked[name] = given
            return result
        monkeypatch.setattr(runs, name, train)

    standing_for("distil_spatial_lora", ({}, []))
    standing_for("distil_motion_module", (None, {}, []))
    standing_for("train_image_encoder", (None, []))
    standing_for("tune_motion_module", (None, []))
    examples, given = data(), {"preset": "tiny", "steps": 7, "learning_rate": 0.25, "seed": 3, "preview_every": 5,
                               "schedule": "LCM", "num_frames": 6, "name": "mine", "model": "model"}
    execute(nodes.DistillSpatialLoRA, **given)
    execute(nodes.DistillMotionModule, **given, motion_module="module", lora="lora", init="both", decoupled=False)
    execute(nodes.AdaptAdapter, **given, motion_module="module", train=nodes.IMAGE_ENCODER)
    execute(nodes.AdaptMotionModule, **given, motion_module="module", rolling_steps=3)
    for name, frames in (("distil_spatial_lora", 1), ("distil_motion_module", 6), ("train_image_encoder", 6),
                         ("tune_motion_module", 6)):
        model, *_, found, request, run = asked[name]
        config = request.config
        assert (model, request.name, run.name, request.schedule, run.preview_every) == (
            "model", "mine", "mine", "LCM", 5)
        assert (config.loop.steps, config.loop.learning_rate, config.seed, config.num_frames) == (7, 0.25, 3, frames)
        assert len(found.latents) == len(examples.latents) and found.hints is None
        for captions, others in ((found.positive, examples.positive), ([found.negative], [examples.negative])):
            assert all(torch.equal(one[0][0], other[0][0]) for one, other in zip(captions, others, strict=True))
    assert asked["distil_motion_module"][1:3] == ("module", "lora")
    how = asked["distil_motion_module"][-2].config.distillation
    assert (how.init, how.decoupled) == ("both", False)
    assert asked["tune_motion_module"][1] == "module"
    assert asked["tune_motion_module"][-2].config.distillation.rolling == 3
    assert asked["train_image_encoder"][1:3] == ("module", False)
    execute(nodes.AdaptAdapter, **given, motion_module="module", train=nodes.BOTH)
    assert asked["train_image_encoder"][2] is True


def test_a_module_is_tuned_for_few_steps_unless_more_are_asked_for(monkeypatch):
    from animatelcm.host.training import runs

    asked = []
    monkeypatch.setattr(runs, "tune_motion_module", lambda *given: asked.append(given[-2].config.loop) or (None, []))
    for steps in (0, 30):
        execute(nodes.AdaptMotionModule, model="model", motion_module="module", preset="paper", num_frames=16,
                steps=steps)
    assert [loop.steps for loop in asked] == [200, 30] and asked[0].warmup == 100


def test_without_a_lora_the_motion_stage_asks_for_one(tmp_path, monkeypatch):
    short_runs(monkeypatch, tmp_path)
    with pytest.raises(ValueError, match="none is connected"):
        execute(nodes.DistillMotionModule, model=tiny_model(), motion_module=loaded_motion(tmp_path))


@pytest.mark.parametrize("node", [nodes.DistillSpatialLoRA, nodes.DistillMotionModule, nodes.AdaptAdapter])
def test_the_editor_leaves_the_seed_of_a_run_alone(node):
    """It gives every number named seed a new value for each queued run, unless told not to: nothing could resume."""
    [seed] = [socket for socket in node.define_schema().inputs if socket.id == "seed"]
    assert seed.as_dict()["control_after_generate"] is False

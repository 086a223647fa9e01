"""The ControlNet's training node, from the sockets of the stock nodes to theirs."""

import folder_paths
import pytest
import torch
from animatelcm.host.folders import register_folders
from animatelcm.nodes import adaptation as nodes
from animatelcm.tests.host.controls import control_lora, controlled, hints
from animatelcm.tests.host.training.training_data import data, short_runs
from animatelcm.tests.nodes.test_training import execute
from animatelcm.tests.support import loaded_motion, run, tiny_model

from nodes import ControlNetLoader

register_folders()


@pytest.mark.parametrize("with_motion", [True, False])
def test_what_comes_out_is_for_the_stock_nodes(tmp_path, monkeypatch, with_motion):
    short_runs(monkeypatch, tmp_path)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "controlnet", ([str(tmp_path)], {".safetensors"}))
    model = tiny_model()
    motion = {"motion_module": loaded_motion(tmp_path)} if with_motion else {}
    adapted, losses, steps = execute(nodes.AdaptControlNet, model=model, control_net=control_lora(),
                                     hints=data(hints=True).hints, **motion)
    assert steps == len(losses["loss"]) == 2
    nodes.SaveControlNet.execute(adapted, "mine")
    loaded = ControlNetLoader().load_controlnet("mine_00001_.safetensors")[0]
    clips = []
    for control in (adapted, loaded):
        positive, negative = controlled(control, hints(4))
        with torch.inference_mode():
            clips.append(run(model, 4, positive=positive, negative=negative))
    assert torch.equal(*clips)

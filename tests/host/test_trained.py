"""What training saves is listed where the host's loaders look."""

import folder_paths
import pytest
import torch
from animatelcm.host.folders import motion_files, motion_path, register_folders
from animatelcm.host.motion import load_motion
from animatelcm.host.saving import save_motion
from animatelcm.host.trained import load_lora, lora_files, register_trained
from animatelcm.host.training.control_nets import save_control_net
from animatelcm.nodes.adaptation import SaveControlNet
from animatelcm.nodes.training import SaveMotionModule
from animatelcm.tests.host.controls import control_net
from animatelcm.tests.support import loaded_motion
from safetensors.torch import save_file


@pytest.fixture
def output(monkeypatch, tmp_path):
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    known = {name: (list(folders), set(suffixes)) for name, (folders, suffixes)
             in folder_paths.folder_names_and_paths.items()}
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", known)
    return tmp_path / "output"


def test_a_saved_motion_module_is_listed_and_loads(output, tmp_path):
    register_folders()
    register_trained()
    prefix = next(socket.default for socket in SaveMotionModule.define_schema().inputs if socket.id.endswith("prefix"))
    motion = loaded_motion(tmp_path)
    save_motion(motion, prefix)
    assert "AnimateLCM_00001_.safetensors" in motion_files()
    loaded = load_motion(motion_path("AnimateLCM_00001_.safetensors")).patcher.model.state_dict()
    assert all(torch.equal(weight, loaded[key]) for key, weight in motion.patcher.model.state_dict().items())


def test_a_saved_control_net_is_listed_by_the_stock_loader(output):
    register_trained()
    prefix = next(socket.default for socket in SaveControlNet.define_schema().inputs if socket.id.endswith("prefix"))
    save_control_net(control_net(), prefix)
    assert "AnimateLCM_00001_.safetensors" in folder_paths.get_filename_list("controlnet")


def test_a_saved_lora_is_loaded_as_it_was_written(output):
    folder_paths.add_model_folder_path("loras", str(output / "loras"))
    (output / "loras").mkdir(parents=True)
    lora = {"lora_unet_conv.lora_up.weight": torch.ones(2, 3), "lora_unet_conv.alpha": torch.tensor(4.0)}
    save_file(lora, output / "loras" / "mine_2_steps_00001_.safetensors")
    assert "mine_2_steps_00001_.safetensors" in lora_files()
    read = load_lora("mine_2_steps_00001_.safetensors")
    assert read.keys() == lora.keys() and all(torch.equal(read[key], lora[key]) for key in lora)
    with pytest.raises(FileNotFoundError):
        load_lora("../mine.safetensors")

"""What the command line's training is given."""

from __future__ import annotations

import pytest
import torch
from animatelcm.host.patchers import weights_of
from animatelcm.host.training import headless
from animatelcm.host.training.headless import Loaded
from animatelcm.tests.support import loaded_motion, tiny_model
from animatelcm.training.options import plan
from safetensors.torch import save_file

LAYER = "lora_unet_down_blocks_0_attentions_0_proj_in"
KEY = "diffusion_model.input_blocks.1.1.proj_in.weight"


@pytest.fixture
def lora(tmp_path):
    file = tmp_path / "lora.safetensors"
    save_file({f"{LAYER}.lora_up.weight": torch.ones(32, 2, 1, 1), f"{LAYER}.alpha": torch.tensor(2.0),
               f"{LAYER}.lora_down.weight": torch.ones(2, 32, 1, 1)}, file)
    return file


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(("training", "changes"), [
    ("train_image_encoder", {}), ("tune_motion_module", {"distillation": {"rolling": 4}})])
def test_what_is_adapted_is_trained_on_the_model_with_its_lora(lora, given, training, changes, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(headless, "load_motion", lambda path: loaded_motion(tmp_path))
    monkeypatch.setattr(headless, training,
                        lambda model, motion, *rest: seen.append(weights_of(model)) or (motion, []))
    model = tiny_model()
    before = weights_of(model)
    settings = {"stage": "adapt", "data": "clips", "preset": "tiny"} | changes | ({"lora": str(lora)} if given else {})
    headless.train_parts(headless.parts_of(plan(settings), Loaded(model, None, None, "tiny")), None, None, print)
    differing = {key for key, weight in seen[0].items() if not torch.equal(weight, before[key])}
    assert differing == ({KEY} if given else set())
    assert all(torch.equal(weight, before[key]) for key, weight in weights_of(model).items())

"""The demo model in one process, with another LoRA or motion file."""

from __future__ import annotations

import pytest
import torch
from animatelcm.demo import model as demo_model
from animatelcm.demo.files import WEIGHTS
from animatelcm.demo.model import load_demo_model
from animatelcm.host.training.network import layer_names
from animatelcm.motion.files import read_motion_file, write_motion_file
from animatelcm.tools.demo.sampler import DemoSampler, Parts, Settings, with_lora
from safetensors.torch import save_file

QUICK = Settings(steps=1, cfg=1.0, frames=2)
PROMPT = "a penguin running left in the snow"


def lora_file(path, layers):
    tensors = {}
    for name in layers:
        key = f"lora_unet_{name.replace('.', '_')}"
        tensors[f"{key}.lora_down.weight"] = torch.randn(4, 128)
        tensors[f"{key}.lora_up.weight"] = torch.randn(128, 4)
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module", autouse=True)
def loaded():
    """The demo model, loaded once for all samplers of this file; they take clones of it."""
    with pytest.MonkeyPatch.context() as patch:
        model = load_demo_model()
        patch.setattr(demo_model, "load_demo_model", lambda weights: model)
        yield model


def test_a_lora_changes_the_clip_and_one_for_another_model_is_refused(tmp_path, loaded):
    model = loaded[0]
    layers = [name for name in layer_names(model).values() if name.endswith("down_blocks.1.attentions.0.proj_in")]
    plain = DemoSampler()(PROMPT, 0, QUICK)
    changed = DemoSampler(Parts(loras=(lora_file(tmp_path / "own.safetensors", layers),)))(PROMPT, 0, QUICK)
    assert plain.shape == (2, 3, 128, 128) and not torch.equal(changed, plain)
    twice = with_lora(with_lora(model, tmp_path / "own.safetensors"), tmp_path / "own.safetensors")
    assert [len(patches) for patches in twice.patches.values()] == [2]
    with pytest.raises(ValueError, match=r"foreign\.safetensors has 2 LoRA layers, and 1 of them fit"):
        with_lora(model, lora_file(tmp_path / "foreign.safetensors", [*layers, "transformer.blocks.0"]))
    with pytest.raises(ValueError, match="0 LoRA layers"):
        with_lora(model, lora_file(tmp_path / "none.safetensors", []))


def test_a_distilled_motion_file_brings_its_schedule(tmp_path):
    file = read_motion_file(WEIGHTS / "motion.safetensors")
    path = tmp_path / "lcm.safetensors"
    name = "AnimateLCM text-to-video"
    write_motion_file(path, file.weights, family=name, schedule=name, config=file.config)
    sampler = DemoSampler(Parts(motion=path))
    assert len(sampler.model.get_model_object("model_sampling").sigmas) == 100
    assert sampler(PROMPT, 0, Settings(1, 1.0, "lcm", "simple", frames=2)).isfinite().all()

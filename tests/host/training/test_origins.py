"""What a training was made from: another MODEL, another data set or another setting is another run."""

from dataclasses import replace

import pytest
import torch
from animatelcm.host.motion_lora import with_motion_lora
from animatelcm.host.training.node_run import checkpoint_path
from animatelcm.host.training.origins import of_control, of_patcher, with_parts
from animatelcm.tests.host.controls import control_lora, control_net
from animatelcm.tests.host.training.training_data import (
    adapt_control_net,
    data,
    distil_motion_module,
    distil_spatial_lora,
    request,
    train_image_encoder,
)
from animatelcm.tests.motion import loras_by_hand as by_hand
from animatelcm.tests.motion.files_by_hand import save
from animatelcm.tests.support import loaded_image_to_video, loaded_motion, run, tiny_model
from animatelcm.training.checkpoints import CheckpointError
from animatelcm.training.config import LoRAConfig
from animatelcm.training.origin import Origin
from comfy.sd import load_lora_for_models

pytestmark = pytest.mark.usefixtures("output", "as_in_a_node")
LAYER = "lora_unet_down_blocks_0_attentions_0_proj_in"


def with_lora(model, value=1.0, strength=1.0):
    lora = {f"{LAYER}.lora_up.weight": torch.full((32, 2, 1, 1), value), f"{LAYER}.alpha": torch.tensor(2.0),
            f"{LAYER}.lora_down.weight": torch.ones(2, 32, 1, 1)}
    return load_lora_for_models(model, None, lora, strength, 0.0)[0]


def test_a_model_is_its_weights_and_what_is_on_them_loaded_or_not(model):
    changed = with_lora(model)
    names = [of_patcher(each) for each in (model, changed, with_lora(model, value=2.0), with_lora(model, strength=0.5),
                                           with_lora(changed), tiny_model(seed=1))]
    assert len(set(names)) == len(names)
    assert of_patcher(with_lora(tiny_model())) == names[1]
    run(changed)
    assert of_patcher(changed) == names[1] and of_patcher(model) == names[0]


def test_a_motion_module_is_its_weights_its_lora_and_its_encoder(model, motion, tmp_path):
    def of(module):
        return with_parts(Origin(), model, module).contents

    shapes = {key: weight.shape for key, weight in motion.patcher.model.state_dict().items()}
    lora = save(tmp_path / "sway.safetensors", by_hand.animatediff(by_hand.attention_only(by_hand.pairs(shapes))))
    others = (loaded_motion(tmp_path, seed=2), with_motion_lora(motion, lora, 1.0)[0],
              with_motion_lora(motion, lora, 0.5)[0])
    assert len({of(module)["motion module"] for module in (motion, *others)}) == 4
    assert "image encoder" in of(loaded_image_to_video(tmp_path)) and "image encoder" not in of(motion)
    assert of(loaded_motion(tmp_path)) == of(motion) and "motion module" not in of(None)


def test_what_no_weight_shows_of_a_motion_module_counts_too(model, tmp_path):
    """Its heads, the frames that it knows, its own position tables, and the weights of its encoder."""
    def of(module):
        return with_parts(Origin(), model, module).contents

    motion, own = loaded_motion(tmp_path), loaded_motion(tmp_path)
    width = motion.config.channels[0]
    own.patcher.model.set_positions({width: torch.ones(motion.config.max_frames, width)})
    others = (own, *(replace(motion, config=replace(motion.config, **changes))
                     for changes in ({"heads": 4}, {"max_frames": 32})))
    assert len({of(module)["motion module"] for module in (motion, *others)}) == 4
    one, other = (loaded_image_to_video(tmp_path, seed=seed) for seed in (1, 2))
    assert of(one)["image encoder"] != of(other)["image encoder"]


@pytest.mark.parametrize("make", [control_net, control_lora])
def test_a_control_net_is_its_weights(make):
    one, other = make(), make()
    assert of_control(one) == of_control(other) == of_control(one.copy())
    weights = other.control_weights if make is control_lora else other.control_model.state_dict()
    weights["zero_convs.0.0.weight"].add_(1)
    assert of_control(one) != of_control(other)


def test_data_are_all_that_is_in_the_lists_in_their_order():
    given = data(hints=True)
    others = [replace(given, latents=given.latents[::-1]), replace(given, positive=given.positive[::-1]),
              replace(given, negative=given.positive[0]), replace(given, hints=given.hints[::-1]),
              replace(given, hints=None), data(clips=3, hints=True), data(frames=4, hints=True)]
    changed = given.latents[1]["samples"].clone()
    changed[2, 3, 7, 7] += 1e-3
    others.append(replace(given, latents=[given.latents[0], {"samples": changed}]))
    assert len({each.origin().contents["data"] for each in (given, *others)}) == len(others) + 1
    assert data(hints=True).origin() == given.origin()


def another(wanted, **changes):
    return replace(wanted, config=replace(wanted.config, **changes))


def test_a_finished_training_is_handed_out_for_no_other_one(model):
    wanted, lines = request("image", "mine", steps=1), []
    lora, losses = distil_spatial_lora(model, data(), wanted)
    shape = LoRAConfig(rank=2, alpha=2.0)
    for said, other, examples, asked in (
            ("other data", model, data(clips=3), wanted), ("another base model", tiny_model(seed=1), data(), wanted),
            ("another base model", with_lora(model), data(), wanted),
            ("seed 7, was 0", model, data(), another(wanted, seed=7)),
            ("alpha 2.0, was 4.0", model, data(), another(wanted, lora=shape)),
            ("schedule LCM, was AnimateLCM text-to-video", model, data(), replace(wanted, schedule="LCM")),
            ("learning_rate 0.02, was 0.01", model, data(),
             another(wanted, loop=replace(wanted.config.loop, learning_rate=0.02)))):
        before = checkpoint_path("mine").read_bytes()
        with pytest.raises(CheckpointError, match=f"mine.pt belongs to another training: .*{said}.*another name"):
            distil_spatial_lora(other, examples, asked)
        assert checkpoint_path("mine").read_bytes() == before
    # The same once more, as from another session.
    again, all_losses = distil_spatial_lora(tiny_model(), data(), wanted, report=lines.append)
    assert all_losses == losses and all(torch.equal(again[key], tensor) for key, tensor in lora.items())
    assert lines[-1].startswith("all 1 steps are done already; nothing was trained")


def test_memory_and_previews_and_more_steps_are_no_other_training(model):
    wanted = request("image", "mine", steps=1)
    distil_spatial_lora(model, data(), wanted)
    more = replace(wanted.config.loop, steps=2, save_every=1)
    cheaper = another(wanted, loop=more, gradient_checkpointing=True)
    longer, losses = distil_spatial_lora(model, data(), cheaper, preview_every=2)
    whole, all_losses = distil_spatial_lora(model, data(), replace(another(wanted, loop=more), name="whole"))
    assert losses == all_losses and all(torch.equal(longer[key], tensor) for key, tensor in whole.items())


def test_the_later_stages_know_their_motion_module_and_lora(model, motion, tmp_path):
    lora, _ = distil_spatial_lora(model, data(), request("image", "lora", steps=1))
    wanted = request("motion", "mine", steps=1)
    distil_motion_module(model, motion, lora, data(), wanted)
    changed = {key: tensor * 2 if "lora_up" in key else tensor for key, tensor in lora.items()}
    for said, module, spatial, asked in (
            ("another motion module", loaded_motion(tmp_path, seed=2), lora, wanted),
            ("another LoRA", motion, changed, wanted),
            ("init both, was student", motion, lora, wanted.distilling("both", True))):
        with pytest.raises(CheckpointError, match=said):
            distil_motion_module(model, module, spatial, data(), asked)
    adapted = request("adapt", "encoder", steps=1)
    train_image_encoder(model, motion, True, data(), adapted)
    with pytest.raises(CheckpointError, match="with_motion False, was True"):
        train_image_encoder(model, motion, False, data(), adapted)


@pytest.mark.parametrize("make", [control_net, control_lora])
def test_the_adaptation_of_a_control_net_knows_which_one_it_was(model, make):
    one, other, wanted = make(), make(), request("adapt", "control", steps=1)
    weights = other.control_weights if make is control_lora else other.control_model.state_dict()
    weights["zero_convs.0.0.weight"].add_(1)
    adapt_control_net(model, None, one, data(hints=True), wanted)
    with pytest.raises(CheckpointError, match="control.pt belongs to another training: another ControlNet"):
        adapt_control_net(model, None, other, data(hints=True), wanted)

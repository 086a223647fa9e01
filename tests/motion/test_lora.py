"""Motion LoRA files: every format's layers and alpha are found, and everything else is refused."""

import dataclasses

import pytest
import torch
from animatelcm.motion.files import MotionFileError
from animatelcm.motion.lora import changes, export, read_motion_lora
from animatelcm.motion.module import MotionConfig, MotionModule
from animatelcm.tests.motion import loras_by_hand as by_hand
from animatelcm.tests.motion.files_by_hand import T2V, save

CONFIG = MotionConfig(channels=(32, 64, 32, 64))


def shapes_of(config=CONFIG):
    with torch.device("meta"):
        return {key: weight.shape for key, weight in MotionModule(config).state_dict().items()}


SHAPES = shapes_of()
PAIRS = by_hand.pairs(SHAPES)
ATTENTION = by_hand.attention_only(PAIRS)
Q = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.to_q"


def deltas(path, shapes=SHAPES):
    """Return what a file adds to each weight, by its changes."""
    sums = {}
    for change in changes(read_motion_lora(path), shapes):
        whole = sums.setdefault(change.key, torch.zeros(shapes[change.key]))
        rows = whole[change.first_row:change.first_row + len(change.pair.up)]
        assert not rows.any(), "two changes of the same rows"
        rows += change.pair.scale * change.pair.up.float() @ change.pair.down.float()
    return sums


def assert_adds(path, pairs, scale=1.0):
    found, expected = deltas(path), by_hand.added(pairs, SHAPES, scale)
    assert found.keys() == expected.keys()
    for key, delta in expected.items():
        torch.testing.assert_close(found[key], delta)


FORMATS = {
    "AnimateDiff": (by_hand.animatediff(ATTENTION), {}, ATTENTION, 1.0),
    "AnimateDiff in parallel training": (
        {f"module.{key}": value for key, value in by_hand.animatediff(ATTENTION).items()}, {}, ATTENTION, 1.0),
    "MotionDirector": (by_hand.motion_director(PAIRS), {"model_type": "motion_director", "rank": "3"}, PAIRS, 1.0),
    "MotionDirector, plain": (by_hand.motion_director_plain(PAIRS), {}, PAIRS, 1.0),
    "diffusers, converted": (by_hand.diffusers_old(ATTENTION), {}, ATTENTION, 1.0),
    "diffusers without alpha": (by_hand.peft(PAIRS), {}, PAIRS, 1.0),
    "diffusers": (by_hand.peft(PAIRS), by_hand.adapter_metadata(lora_alpha=12), PAIRS, 4.0),
    "diffusers, one network": (
        by_hand.peft(PAIRS, ""), by_hand.adapter_metadata("", lora_alpha=12, r=3), PAIRS, 4.0),
    "diffusers, rank stabilised": (
        by_hand.peft(PAIRS), by_hand.adapter_metadata(lora_alpha=12, use_rslora=True), PAIRS, 12 / 3**0.5),
    "PEFT": (by_hand.peft(PAIRS, "base_model.model.", ".default"), {"lora_alpha": "6"}, PAIRS, 2.0),
    "kohya": (by_hand.kohya(PAIRS, alpha=1.5), {"ss_network_alpha": "99"}, PAIRS, 0.5),
    "kohya without alpha keys": (by_hand.kohya(PAIRS), {"ss_network_alpha": "1.5"}, PAIRS, 0.5),
    "kohya without alpha": (by_hand.kohya(PAIRS), {}, PAIRS, 1.0),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_adds_the_same(tmp_path, name):
    tensors, metadata, pairs, scale = FORMATS[name]
    assert_adds(save(tmp_path / "a.safetensors", tensors, metadata), pairs, scale)


@pytest.mark.parametrize("wrap", [lambda tensors: tensors, lambda tensors: {"state_dict": tensors, "step": 3}])
def test_pickled_files(tmp_path, wrap):
    assert_adds(save(tmp_path / "a.ckpt", wrap(by_hand.animatediff(ATTENTION))), ATTENTION)


def test_half_precision_stays_as_it_is(tmp_path):
    tensors = {key: value.half() for key, value in by_hand.animatediff(ATTENTION).items()}
    lora = read_motion_lora(save(tmp_path / "a.safetensors", tensors))
    assert {pair.up.dtype for pair in lora.pairs.values()} == {torch.float16}


def test_a_pattern_of_alphas_names_single_layers(tmp_path):
    metadata = by_hand.adapter_metadata(lora_alpha=3, alpha_pattern={"attn1.to_q": 6, r"up_blocks\.\d+.*to_k": 9})
    lora = read_motion_lora(save(tmp_path / "a.safetensors", by_hand.peft(PAIRS), metadata))
    for layer, pair in lora.pairs.items():
        expected = 2 if layer.endswith("attn1.to_q") else 3 if layer.startswith("up") and "to_k" in layer else 1
        assert pair.scale == expected, layer


def test_the_middle_block_needs_one(tmp_path):
    without = shapes_of(dataclasses.replace(CONFIG, mid_block=False))
    lora = read_motion_lora(save(tmp_path / "v2.ckpt", by_hand.animatediff(ATTENTION)))
    with pytest.raises(MotionFileError, match=r"v2\.ckpt changes 8 layers.* such as mid_block.*v1 and v3 do not"):
        changes(lora, without)
    outside = {key: value for key, value in ATTENTION.items() if not key.startswith("mid_block")}
    lora = read_motion_lora(save(tmp_path / "v3.ckpt", by_hand.animatediff(outside)))
    assert len(changes(lora, without)) == len(outside)


def test_a_module_of_another_size_is_refused(tmp_path):
    lora = read_motion_lora(save(tmp_path / "a.ckpt", by_hand.animatediff(ATTENTION)))
    with pytest.raises(MotionFileError, match=r"does not fit.* is 64 by 64 there, the LoRA's is 32 by 32"):
        changes(lora, shapes_of(dataclasses.replace(CONFIG, channels=(64, 64, 32, 64))))
    with pytest.raises(MotionFileError, match="layers that the motion module does not have.*Expected a LoRA"):
        changes(lora, shapes_of(dataclasses.replace(CONFIG, channels=(32, 64, 32))))


ONE = by_hand.motion_director_plain({Q: PAIRS[Q]})
SPATIAL = {"down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight": torch.zeros(3, 32)}
DORA = by_hand.adapter_metadata(use_dora=True)


@pytest.mark.parametrize(("tensors", "metadata", "message"), [
    (SPATIAL, None, "LoRA of the image model.*models/loras"),
    ({"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": torch.zeros(4)}, None, "of the image model"),
    (T2V, None, "is a motion module. Use Load Motion Module"),
    ({"model.diffusion_model.x": torch.zeros(4)}, None, "a Stable Diffusion checkpoint"),
    ({"emb_params": torch.zeros(4)}, None, "not recognised.*emb_params"),
    (ONE | SPATIAL, None, "1 of 3 tensors that are not understood.*attentions.0"),
    (ONE | {f"{Q}.lora_mid.weight": torch.zeros(3, 3)}, None, "1 of 3.*lora_mid"),
    (ONE | {f"{Q}.dora_scale": torch.zeros(32)}, None, "1 of 3.*dora_scale"),
    (ONE | {f"{Q}.lora_up.bias": torch.zeros(32)}, None, "1 of 3.*bias"),
    (ONE | {f"module.{Q}.lora_up.weight": torch.zeros(32, 3)}, None, "two tensors for one layer.*module"),
    ({f"{Q}.lora_up.weight": torch.zeros(32, 3)}, None, "incomplete.*to_q has no 'down'"),
    ({f"{Q}.lora_down.weight": torch.zeros(3, 32)}, None, "incomplete.*to_q has no 'up'"),
    (ONE | {f"{Q}.lora_up.weight": torch.zeros(32, 4)}, None, "wrong tensors.*\\(3, 32\\).*\\(32, 4\\)"),
    (ONE | {f"{Q}.lora_up.weight": torch.zeros(32, 3, 1)}, None, "wrong tensors"),
    (ONE | {f"{Q}.lora_up.weight": torch.zeros(32, 3, dtype=torch.int8)}, None, "wrong tensors.*int8"),
    (ONE | {f"{Q}.lora_up.weight": torch.full((32, 3), torch.nan)}, None, "damaged motion LoRA.*NaN"),
    (ONE | {f"{Q}.alpha": torch.tensor(torch.nan)}, None, "damaged motion LoRA.*alpha"),
    (ONE | {f"{Q}.alpha": torch.zeros(2)}, None, "alpha of the shape \\(2,\\)"),
    (by_hand.peft(PAIRS, "base_model.model."), None, "PEFT's own file.*adapter_config.json"),
    (by_hand.peft(PAIRS), DORA, "uses DoRA"),
    (by_hand.peft(PAIRS), by_hand.adapter_metadata(lora_bias=True), "uses a bias"),
    (by_hand.peft(PAIRS), {"lora_adapter_metadata": "{"}, "metadata that cannot be read"),
    (by_hand.peft(PAIRS), {"lora_adapter_metadata": "[]"}, "metadata that cannot be read"),
    (by_hand.peft(PAIRS), by_hand.adapter_metadata("text_encoder.", lora_alpha=12), "alpha that is no number.*None"),
    (by_hand.kohya(PAIRS), {"ss_network_alpha": "None"}, "ss_network_alpha is 'None'"),
])
def test_what_cannot_be_applied_in_full_is_refused(tmp_path, tensors, metadata, message):
    with pytest.raises(MotionFileError, match=rf"(?s)^some\.safetensors .*{message}") as error:
        read_motion_lora(save(tmp_path / "some.safetensors", tensors, metadata))
    assert len(str(error.value)) < 700


def test_an_exported_lora_adds_what_was_trained(tmp_path):
    layers = [key.removesuffix(".weight") for key in SHAPES if key.endswith(("to_qkv.weight", "to_out.weight"))]
    trained = {}
    for layer in layers:
        rows, columns = SHAPES[f"{layer}.weight"]
        trained[f"{layer}.down.weight"], trained[f"{layer}.up.weight"] = torch.randn(3, columns), torch.randn(rows, 3)
    tensors = export(trained)
    assert f"{Q.replace('.to_q', '.processor.to_q_lora.down.weight')}" in tensors
    found = deltas(save(tmp_path / "exported.safetensors", tensors))
    assert found.keys() == {f"{layer}.weight" for layer in layers}
    for layer in layers:
        torch.testing.assert_close(found[f"{layer}.weight"],
                                   trained[f"{layer}.up.weight"] @ trained[f"{layer}.down.weight"])

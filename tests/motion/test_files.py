"""Every family of motion file in every container loads to the same tensors, and is written as it was read."""

import math
import re

import pytest
import torch
from animatelcm.motion.files import MotionFileError, read_motion_file, write_motion_file
from animatelcm.motion.module import MotionConfig, MotionModule, sinusoid
from animatelcm.tests.motion.files_by_hand import (
    BIASES,
    CHANNELS,
    I2V,
    IMAGE_ENCODER,
    MIDDLE,
    T2V,
    V2,
    adapter,
    animatediff,
    equal,
    expected_weights,
    save,
)
from animatelcm.tools.benchmarks import reference_encoder
from diffusers import MotionAdapter
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D

LCM, AD = "AnimateLCM text-to-video", "AnimateDiff"


@pytest.mark.parametrize(("name", "tensors", "family", "schedule", "frames"), [
    ("a.ckpt", T2V, LCM, LCM, 64),
    ("a.ckpt", animatediff(frames=64, position_name="pos_encoding"), LCM, LCM, 64),
    ("a.ckpt", I2V, "AnimateLCM image-to-video", "AnimateLCM image-to-video", 64),
    ("a.ckpt", animatediff(mid_block=False, frames=24), "AnimateDiff v1", AD, 24),
    ("a.ckpt", V2, "AnimateDiff v2", AD, 32),
    ("a.ckpt", animatediff(frames=24), "AnimateDiff v2", AD, 24),
    ("a.ckpt", animatediff(frames=64), LCM, LCM, 64),
    ("lt_long_mm_16_64_frames_v1.1.ckpt", animatediff(frames=64), "LongAnimateDiff", AD, 64),
    ("AnimateLCM_with_tables.safetensors", animatediff(frames=32), LCM, LCM, 32),
    ("a.ckpt", animatediff(frames=48), "AnimateDiff v2", AD, 48),
    ("a.ckpt", animatediff(mid_block=False, frames=64), "AnimateDiff v3", AD, 64),
    ("a.ckpt", animatediff(mid_block=False, frames=32), "AnimateDiff v3", AD, 32),
    ("a.bin", adapter(), "AnimateDiff v2", AD, 32),
    ("a.bin", adapter(mid_block=False, frames=24), "AnimateDiff v1", AD, 24),
    ("a.bin", adapter(frames=64), LCM, LCM, 64),
    ("AnimateLCM-adapter.bin", adapter(), LCM, LCM, 32),
])
def test_every_family_loads_to_the_same_tensors(tmp_path, name, tensors, family, schedule, frames):
    file = read_motion_file(save(tmp_path / name, tensors))
    mid_block = MIDDLE[0] in {".".join(key.split(".")[:3]) for key in tensors}
    equal(file.weights, expected_weights(mid_block))
    assert (file.family, file.schedule) == (family, schedule)
    assert file.config == MotionConfig(CHANNELS, mid_block, 8, frames)
    assert file.position_encoding is None
    if tensors is I2V:
        equal(file.image_encoder, IMAGE_ENCODER)
    else:
        assert file.image_encoder is None
    MotionModule(file.config).load_state_dict(file.weights)


@pytest.mark.parametrize(("tensors", "family", "frames"), [
    (I2V, "AnimateLCM image-to-video", 64), (V2, "AnimateDiff v2", 32), (adapter(), "AnimateDiff v2", 32)],
    ids=["image-to-video", "v2", "adapter"])
@pytest.mark.parametrize(("name", "wrap"), [
    ("a.safetensors", None),
    ("a.ckpt", lambda tensors: {"state_dict": tensors, "epoch": 3, "global_step": 7}),
    ("a.pt", lambda tensors: {"anything": {"state_dict": tensors}}),
    ("a.pth", lambda tensors: {"module": tensors, "lr": [0.1]}),
    ("a.ckpt", lambda tensors: {"state_dict": {f"module.{key}": tensor for key, tensor in tensors.items()}}),
    ("a.safetensors", lambda tensors: {f"model.diffusion_model.{key}": tensor for key, tensor in tensors.items()}),
    ("a.safetensors", lambda tensors: {f"unet.{key}": tensor for key, tensor in tensors.items()}),
    ("a.ckpt", lambda tensors: {f"module._orig_mod.{key}": tensor for key, tensor in tensors.items()}),
    ("a.ckpt", lambda tensors: {"unet": tensors, "text_encoder": {"text_model.x": torch.zeros(2)}}),
    ("a.ckpt", lambda tensors: tensors | {
        "conv_in.weight": torch.zeros(32, 4, 3, 3), "down_blocks.0.resnets.0.conv1.bias": torch.full((3,), math.nan)}),
])
def test_every_container_loads_to_the_same_tensors(tmp_path, tensors, family, frames, name, wrap):
    file = read_motion_file(save(tmp_path / name, wrap(tensors) if wrap else tensors))
    equal(file.weights, expected_weights())
    assert (file.family, file.config) == (family, MotionConfig(CHANNELS, max_frames=frames))
    assert (file.image_encoder is not None) == (tensors is I2V)


def test_the_content_decides_not_the_suffix(tmp_path):
    save(tmp_path / "a.safetensors", T2V).rename(tmp_path / "really_safetensors.ckpt")
    torch.save(T2V, tmp_path / "really_pickle.safetensors")
    torch.save(T2V, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    for name in ("really_safetensors.ckpt", "really_pickle.safetensors", "old.ckpt"):
        equal(read_motion_file(tmp_path / name).weights, expected_weights())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_precision_is_preserved(tmp_path, dtype, suffix):
    file = read_motion_file(save(tmp_path / f"a{suffix}", animatediff(dtype=dtype)))
    assert {tensor.dtype for tensor in file.weights.values()} == {dtype}
    as_bytes = {key: tensor.view(torch.uint8) for key, tensor in file.weights.items()}
    equal(as_bytes, {key: tensor.view(torch.uint8) for key, tensor in expected_weights(dtype=dtype).items()})
    write_motion_file(tmp_path / "copy.safetensors", file.weights, file.family, file.schedule, file.config)
    again = read_motion_file(tmp_path / "copy.safetensors")
    assert {key: tensor.dtype for key, tensor in again.weights.items()} == dict.fromkeys(as_bytes, dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_sinusoid_in_half_precision_is_the_sinusoid(tmp_path, dtype):
    assert read_motion_file(save(tmp_path / "a.ckpt", animatediff(frames=32, dtype=dtype))).position_encoding is None


def other_positions(width=64, frames=24):
    return {key: tensor + 0.1 if "pos_encoder" in key and tensor.shape[-1] == width else tensor
            for key, tensor in animatediff(frames=frames).items()}


def test_other_positions_are_kept_by_width(tmp_path):
    file = read_motion_file(save(tmp_path / "a.ckpt", other_positions()))
    assert file.position_encoding.keys() == {64}
    torch.testing.assert_close(file.position_encoding[64], sinusoid(24, 64) + 0.1, rtol=0, atol=1e-5)


def test_positions_have_as_many_frames_as_the_module(tmp_path):
    longer = {key: tensor[:, :16] if "pos_encoder" in key and tensor.shape[-1] == 32 else tensor
              for key, tensor in other_positions().items()}
    file = read_motion_file(save(tmp_path / "a.ckpt", longer))
    assert file.config.max_frames == 16
    torch.testing.assert_close(file.position_encoding[64], sinusoid(16, 64) + 0.1, rtol=0, atol=1e-5)
    with pytest.raises(MotionFileError, match="24 frames.* 25"):
        read_motion_file(save(tmp_path / "a.safetensors", other_positions(), {"animatelcm.max_frames": "25"}))


@pytest.mark.parametrize("config", [
    MotionConfig(CHANNELS, True, heads=4, max_frames=24),
    MotionConfig((32, 64, 64, 64), False, heads=2, max_frames=16),
])
def test_what_is_written_is_read_back_exactly(tmp_path, config):
    torch.manual_seed(0)
    weights = MotionModule(config).state_dict()
    positions = {64: torch.randn(config.max_frames, 64)}
    encoder = reference_encoder.random_weights(config.channels)
    path = tmp_path / "a.safetensors"
    path.write_text("an older file")
    write_motion_file(path, weights, family="some family", schedule="AnimateDiff", config=config,
                      image_encoder=encoder, position_encoding=positions)
    file = read_motion_file(path)
    equal(file.weights, weights)
    equal(file.image_encoder, encoder)
    equal(file.position_encoding, positions)
    assert (file.family, file.schedule, file.config) == ("some family", "AnimateDiff", config)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_written_keys_are_animatediffs(tmp_path):
    from safetensors.torch import load_file
    config = MotionConfig(CHANNELS)
    write_motion_file(tmp_path / "a.safetensors", expected_weights(), "f", "s", config)
    equal(load_file(tmp_path / "a.safetensors"), T2V)


def test_nothing_is_written_of_weights_that_do_not_fit(tmp_path):
    path, config = tmp_path / "a.safetensors", MotionConfig(CHANNELS)
    weights = expected_weights()
    norm = "up_blocks.1.motion_modules.2.norm.weight"
    for wrong, message in (
        ({key: tensor for key, tensor in weights.items() if key != norm}, norm),
        (weights | {norm: torch.ones(3)}, "(3,)"),
        (weights | {norm: weights[norm] * math.inf}, "NaN or infinite"),
        (weights | {norm.replace("norm", "extra"): torch.ones(3)}, "extra"),
    ):
        with pytest.raises(MotionFileError) as error:
            write_motion_file(path, wrong, "f", "s", config)
        assert "a.safetensors is not written" in str(error.value) and message in str(error.value)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_writing_leaves_the_older_file(tmp_path):
    path, shared = tmp_path / "a.safetensors", torch.ones(CHANNELS[0])
    path.write_text("an older file")
    with pytest.raises(RuntimeError, match="share memory"):
        write_motion_file(path, expected_weights(), "f", "s", MotionConfig(CHANNELS),
                          image_encoder=IMAGE_ENCODER | dict.fromkeys(BIASES, shared))
    assert path.read_text() == "an older file"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


class PerFrame(torch.nn.Module):
    """diffusers normalises over all frames of a clip at once; AnimateDiff and AnimateLCM normalise each frame."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return torch.stack([self.norm(frame) for frame in x.unbind(2)], 2)


def test_the_mapping_from_diffusers_agrees_in_numbers(tmp_path):
    torch.manual_seed(0)
    theirs = MotionAdapter((32, 64, 64, 64), motion_num_attention_heads=8, motion_max_seq_length=32)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(tmp_path)
    file = read_motion_file(tmp_path / "diffusion_pytorch_model.safetensors")
    assert file.config == MotionConfig((32, 64, 64, 64), True, 8, 32)
    ours = MotionModule(file.config)
    ours.load_state_dict(file.weights)
    for block, c in (("down_blocks.0.motion_modules.1", 32), ("mid_block.motion_modules.0", 64),
                     ("up_blocks.3.motion_modules.2", 32)):
        reference = theirs.get_submodule(block)
        assert isinstance(reference, AnimateDiffTransformer3D)
        reference.norm = PerFrame(reference.norm)
        x = torch.randn(2 * 5, c, 3, 4)
        with torch.no_grad():
            wanted, got = reference(x, num_frames=5), ours.get_submodule(block)(x.clone(), 5, 1.0)
        assert (wanted - x).std() > 0.1
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "tensors", "metadata", "message"), [
    ("a.ckpt", animatediff(frames=64), None,
     "4 steps, cfg 1.*\nnot certain: LongAnimateDiff .*64 frames.*set schedule to AnimateDiff.*25 steps, cfg 7.5"),
    ("a.bin", adapter(frames=64), None, "4 steps, cfg 1.*\nnot certain: LongAnimateDiff"),
    ("a.ckpt", animatediff(frames=48), None,
     "25 steps.*\nnot certain: no known family .* of 48 frames. If .*4 steps, cfg 1"),
    ("a.ckpt", animatediff(mid_block=False, frames=64), None, "25 steps.*\nnot certain: .* and no middle block"),
    ("a.safetensors", animatediff(frames=64), {"animatelcm.family": "AnimateDiff v2"},
     "25 steps, cfg 7.5, any sampler$"),
    ("AnimateLCM.ckpt", animatediff(frames=64), None, "4 steps, cfg 1, sampler lcm, scheduler simple$"),
    ("lt_long_mm_16_64_frames.ckpt", animatediff(frames=64), None, "25 steps, cfg 7.5, any sampler$"),
    ("a.ckpt", V2, None, "25 steps, cfg 7.5, any sampler$"),
])
def test_a_family_that_is_a_guess_is_said_to_be_one(tmp_path, name, tensors, metadata, message):
    assert re.match(message, read_motion_file(save(tmp_path / name, tensors, metadata)).sampling)


def test_a_middle_block_is_noted_in_what_is_written(tmp_path):
    path, config = tmp_path / "a.safetensors", MotionConfig(CHANNELS, mid_block=False)
    write_motion_file(path, expected_weights(False), "AnimateLCM text-to-video", LCM, config)
    file = read_motion_file(path)
    assert (file.metadata["animatelcm.mid_block"], file.config.mid_block) == ("False", False)


def test_a_file_of_an_older_version_may_lack_a_middle_block(tmp_path):
    """Motion modules that were distilled from one without it are called AnimateLCM, and nothing noted it."""
    metadata = {"animatelcm.family": LCM, "animatelcm.schedule": LCM}
    assert not read_motion_file(save(tmp_path / "a.safetensors", animatediff(False), metadata)).config.mid_block

"""Every family of motion file in every container loads to the same tensors; every other file says what it is."""

import functools
import math
import os
import pickle

import pytest
import torch
from animatelcm.motion.files import MotionFileError, read_motion_file, write_motion_file
from animatelcm.motion.module import MotionConfig, MotionModule, sinusoid
from animatelcm.tests.motion import reference_encoder
from diffusers import MotionAdapter
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from safetensors.torch import save_file

CHANNELS = (32, 64, 32, 64)
SITES = [(f"down_blocks.{b}.motion_modules.{j}", c) for b, c in enumerate(CHANNELS) for j in range(2)]
SITES += [(f"up_blocks.{b}.motion_modules.{j}", c) for b, c in enumerate(reversed(CHANNELS)) for j in range(3)]
MIDDLE = ("mid_block.motion_modules.0", CHANNELS[-1])
# a layer of AnimateDiff's layout and its shape, in multiples of the width; then the diffusers name
BLOCK = "transformer_blocks.0"
ATTENTION = {f"{part}.weight": (1, 1) for part in ("to_q", "to_k", "to_v", "to_out.0")} | {"to_out.0.bias": (1,)}
LAYERS = [
    *((f"{name}.{kind}", f"{name}.{kind}", (1,) if kind == "bias" or name == "norm" else (1, 1))
      for name in ("norm", "proj_in", "proj_out") for kind in ("weight", "bias")),
    *((f"{BLOCK}.attention_blocks.{i}.{key}", f"{BLOCK}.attn{i + 1}.{key}", shape)
      for i in range(2) for key, shape in ATTENTION.items()),
    *((f"{BLOCK}.{theirs}.{kind}", f"{BLOCK}.{diffusers}.{kind}", (1,))
      for theirs, diffusers in (("norms.0", "norm1"), ("norms.1", "norm2"), ("ff_norm", "norm3"))
      for kind in ("weight", "bias")),
    *((f"{BLOCK}.ff.net.{key}", f"{BLOCK}.ff.net.{key}", shape)
      for key, shape in {"0.proj.weight": (8, 1), "0.proj.bias": (8,), "2.weight": (1, 4), "2.bias": (1,)}.items()),
]


@functools.cache
def table(frames, channels):
    """The sinusoid, written element by element."""
    return torch.tensor([[(math.cos if i % 2 else math.sin)(p * 10000 ** (-(i - i % 2) / channels))
                          for i in range(channels)] for p in range(frames)])[None]


def animatediff(mid_block=True, frames=None, position_name="pe", dtype=torch.float32, sites=SITES):
    """A file's tensors in AnimateDiff's layout; the weights do not depend on the arguments."""
    generator = torch.Generator().manual_seed(0)
    tables = {c: table(frames, c).to(dtype) for c in set(CHANNELS)} if frames else {}
    tensors = {}
    for site, c in [MIDDLE, *sites] if mid_block else sites:
        generator.manual_seed(sum(site.encode()) * 31 + c)
        for key, _, shape in LAYERS:
            tensor = torch.randn([c * n for n in shape], generator=generator) / math.sqrt(c)
            tensors[f"{site}.temporal_transformer.{key}"] = tensor.to(dtype)
        for i in range(2) if frames else ():
            key = f"{site}.temporal_transformer.{BLOCK}.attention_blocks.{i}.pos_encoder.{position_name}"
            tensors[key] = tables[c].clone()
    return tensors


def adapter(mid_block=True, frames=32):
    """The same weights as diffusers saves them."""
    names = {f".temporal_transformer.{theirs}": f".{diffusers}" for theirs, diffusers, _ in LAYERS}
    tensors = {}
    for key, tensor in animatediff(mid_block).items():
        site, _, rest = key.partition(".temporal_transformer")
        tensors[site + names[f".temporal_transformer{rest}"]] = tensor
        channels = dict([MIDDLE, *SITES])[site]
        tensors.setdefault(f"{site}.{BLOCK}.pos_embed.pe", table(frames, channels).clone())
    return tensors


def save(path, tensors, metadata=None, **options):
    if path.suffix == ".safetensors":
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata)
    else:
        torch.save(tensors, path, **options)
    return path


def equal(weights, others):
    assert weights.keys() == others.keys()
    assert all(a.dtype == others[key].dtype and torch.equal(a, others[key]) for key, a in weights.items())


def expected_weights(mid_block=True, dtype=torch.float32):
    """The canonical tensors, put together by hand from AnimateDiff's."""
    source, names = animatediff(mid_block, dtype=dtype), {}
    for site, _ in [MIDDLE, *SITES] if mid_block else SITES:
        root = f"{site}.temporal_transformer"
        renamed = {"norm": "norm", "proj_in": "proj_in", "proj_out": "proj_out", "ff_norm": f"{BLOCK}.ff_norm",
                   "ff_in": f"{BLOCK}.ff.net.0.proj", "ff_out": f"{BLOCK}.ff.net.2",
                   "attentions.0.norm": f"{BLOCK}.norms.0", "attentions.1.norm": f"{BLOCK}.norms.1",
                   "attentions.0.to_out": f"{BLOCK}.attention_blocks.0.to_out.0",
                   "attentions.1.to_out": f"{BLOCK}.attention_blocks.1.to_out.0"}
        for ours, theirs in renamed.items():
            for kind in ("weight", "bias"):
                names[f"{site}.{ours}.{kind}"] = source[f"{root}.{theirs}.{kind}"]
        for i in range(2):
            q, k, v = (source[f"{root}.{BLOCK}.attention_blocks.{i}.to_{part}.weight"] for part in "qkv")
            names[f"{site}.attentions.{i}.to_qkv.weight"] = torch.cat([q, k, v])
    return names


IMAGE_ENCODER = reference_encoder.random_weights(CHANNELS)
BIASES = ("body.0.block1.bias", "body.0.block2.bias")
I2V = animatediff() | {f"img_encoder.{key}": tensor for key, tensor in IMAGE_ENCODER.items()}
T2V, V2 = animatediff(), animatediff(frames=32)
KEY = "down_blocks.1.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.to_k.weight"
LCM, AD = "AnimateLCM text-to-video", "AnimateDiff"


@pytest.mark.parametrize(("name", "tensors", "family", "schedule", "frames"), [
    ("a.ckpt", T2V, LCM, LCM, 64),
    ("a.ckpt", animatediff(frames=64, position_name="pos_encoding"), LCM, LCM, 64),
    ("a.ckpt", I2V, "AnimateLCM image-to-video", "AnimateLCM image-to-video", 64),
    ("a.ckpt", animatediff(mid_block=False, frames=24), "AnimateDiff v1", AD, 24),
    ("a.ckpt", V2, "AnimateDiff v2", AD, 32),
    ("a.ckpt", animatediff(frames=24), "AnimateDiff v2", AD, 24),
    ("a.ckpt", animatediff(frames=64), "AnimateDiff v2", AD, 64),
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
    for wrong, told in (
        ({key: tensor for key, tensor in weights.items() if key != norm}, norm),
        (weights | {norm: torch.ones(3)}, "(3,)"),
        (weights | {norm: weights[norm] * math.inf}, "NaN or infinite"),
        (weights | {norm.replace("norm", "extra"): torch.ones(3)}, "extra"),
    ):
        with pytest.raises(MotionFileError) as error:
            write_motion_file(path, wrong, "f", "s", config)
        assert "a.safetensors is not written" in str(error.value) and told in str(error.value)
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


UNET = {"down_blocks.0.resnets.0.conv1.weight": torch.zeros(4), "up_blocks.1.attentions.0.norm.bias": torch.zeros(4)}
LEVELS3 = [(site, c) for site, c in SITES if not site.startswith(("down_blocks.3", "up_blocks.3"))]


@pytest.mark.parametrize(("tensors", "told"), [
    ({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(4), "first_stage_model.x": torch.zeros(1)},
     ["a Stable Diffusion checkpoint", "checkpoint loader"]),
    ({"model.diffusion_model.x": torch.zeros(4), "conditioner.embedders.0.x": torch.zeros(1)}, ["an SDXL checkpoint"]),
    ({"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": torch.zeros(4)}, ["LoRA", "LoRA loader"]),
    ({"unet.down_blocks.0.attentions.0.to_q.lora_A.weight": torch.zeros(4)}, ["a LoRA of the image", "LoRA loader"]),
    ({KEY.replace("to_k", "processor.to_k_lora.down"): torch.zeros(4)}, ["a motion LoRA"]),
    ({"unet.down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.to_q.lora_B.weight": torch.zeros(4)},
     ["a motion LoRA"]),
    ({"control_model.input_blocks.0.0.weight": torch.zeros(4)}, ["a ControlNet", "ControlNet loader"]),
    (UNET | {"controlnet_down_blocks.0.weight": torch.zeros(4)}, ["a ControlNet"]),
    (T2V | {"controlnet_down_blocks.0.weight": torch.zeros(4)}, ["a ControlNet"]),
    (UNET, ["a UNet in diffusers' layout"]),
    (animatediff(False, 32, sites=LEVELS3), ["an SDXL motion module"]),
    ({"down_blocks.0.temporal_attentions.0.transformer_blocks.0.pos_encoder.positional_encoding": torch.zeros(4)},
     ["HotshotXL"]),
    (V2 | {"conv_in.weight": torch.zeros(32, 9, 3, 3)}, ["PIA"]),
    (V2 | {"fps_embedding.linear.weight": torch.zeros(3)}, ["FancyVideo"]),
    ({"img_encoder.conv_in.weight": torch.zeros(4)}, ["image encoder", "complete file"]),
    ({"image_proj.proj.weight": torch.zeros(4), "ip_adapter.1.to_k_ip.weight": torch.zeros(4)},
     ["not recognised", "image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"]),
    ({"emb_params": torch.zeros(4)}, ["not recognised", "emb_params"]),
    ({"first": [1], "second": "x"}, ["not recognised", "no named tensors"]),
    ([torch.zeros(3)], ["a Python list"]),
    ({key: tensor for key, tensor in T2V.items() if key != KEY}, ["1 of 546", KEY]),
    ({key: tensor for key, tensor in T2V.items() if ".ff." not in key}, ["84 of 546", "ff.net.0.proj.weight", "..."]),
    ({key: tensor for key, tensor in T2V.items() if not key.startswith("up_blocks")}, ["312 of 546", "up_blocks.0"]),
    (T2V | {KEY: torch.zeros(64, 63)}, [KEY, "(64, 63)", "(64, 64)"]),
    (T2V | {KEY: torch.zeros(64, 64, dtype=torch.int8)}, [KEY, "int8", "floating-point"]),
    (T2V | {KEY.replace("motion_modules.0", "motion_modules.2"): T2V[KEY]}, ["no place", "motion_modules.2"]),
    ({key: tensor for key, tensor in I2V.items() if not key.startswith("img_encoder.body.3.")},
     ["incomplete motion module with an image encoder", "4 of 40", "img_encoder.body.3.block1.weight"]),
    (I2V | {"img_encoder.conv_in.weight": torch.zeros(32, 3, 3, 3)},
     ["img_encoder.conv_in.weight", "(32, 3, 3, 3)", "(32, 4, 3, 3)"]),
    (I2V | {"img_encoder.body.9.block1.bias": torch.zeros(3)}, ["no place", "img_encoder.body.9.block1.bias"]),
    (animatediff(sites=[(site, c + 1) for site, c in SITES]), ["cannot be used", "33 channels"]),
    (V2 | {KEY.replace("to_k.weight", "pos_encoder.pe"): table(32, 64) + 1}, ["different position tables", "64"]),
    (V2 | {KEY.replace("to_k.weight", "pos_encoder.pe"): table(32, 66)}, ["position table", "66"]),
    (V2 | {KEY.replace("to_k.weight", "pos_encoder.pe"): torch.zeros(0)}, ["position table", "(0,)"]),
])
def test_a_foreign_or_incomplete_file_says_what_it_is(tmp_path, tensors, told):
    path = tmp_path / "some file.ckpt"
    torch.save(tensors, path)
    with pytest.raises(MotionFileError) as error:
        read_motion_file(path)
    for text in ("some file.ckpt", *told):
        assert text in str(error.value)
    assert len(str(error.value)) < 700


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2])
def test_values_that_are_not_finite_are_found(tmp_path, value, dtype):
    tensors = animatediff(mid_block=False, dtype=dtype)
    tensors[KEY].view(-1)[77] = value
    with pytest.raises(MotionFileError, match=r"a\.ckpt .*NaN or infinite") as error:
        read_motion_file(save(tmp_path / "a.ckpt", tensors))
    assert KEY in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float8_e4m3fn])
def test_the_largest_finite_values_are_not_taken_for_infinite(tmp_path, dtype):
    tensors = animatediff(mid_block=False, dtype=dtype)
    tensors[KEY].fill_(torch.finfo(dtype).max)
    read_motion_file(save(tmp_path / "a.ckpt", tensors))


def test_an_image_encoder_with_nan_is_found(tmp_path):
    tensors = I2V | {f"img_encoder.{BIASES[0]}": torch.full((CHANNELS[0],), math.nan)}
    with pytest.raises(MotionFileError, match=r"img_encoder\.body\.0\.block1\.bias holds NaN"):
        read_motion_file(save(tmp_path / "a.ckpt", tensors))


@pytest.mark.parametrize("metadata", [
    {"animatelcm.heads": "many"}, {"animatelcm.heads": "0"}, {"animatelcm.heads": "7"}, {"animatelcm.max_frames": "0"}])
def test_metadata_that_make_no_sense_are_refused(tmp_path, metadata):
    with pytest.raises(MotionFileError, match=r"a\.safetensors .*cannot be used"):
        read_motion_file(save(tmp_path / "a.safetensors", T2V, metadata))


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 1813041600\n"


@pytest.mark.parametrize(("content", "told"), [
    (b"", "empty"),
    (b"<!DOCTYPE html>\n<html><title>Sign in</title></html>", "web page"),
    (b"\n  <html lang='en'></html>", "web page"),
    (POINTER, "git-lfs pointer"),
    (b"Access to this model is restricted.", "a text that begins with 'Access to this model"),
    (b"short", "only 5 bytes"),
    (bytes(range(200, 255)), "unknown kind"),
    (b"\x80\x02garbage", "PyTorch file|pickle"),
    (b"\x20\x00\x00\x00\x00\x00\x00\x00{garbage", "safetensors"),
])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_a_file_without_weights_says_what_it_is(tmp_path, content, told, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(MotionFileError, match=rf"a\{suffix} .*({told})"):
        read_motion_file(path)


@pytest.mark.parametrize("kind", ["zip", "old pickle", "safetensors"])
@pytest.mark.parametrize("kept", [0.0004, 0.02, 0.5, 0.999])
def test_a_truncated_file_says_so(tmp_path, kind, kept):
    path = tmp_path / "a.ckpt"
    if kind == "safetensors":
        save(tmp_path / "a.safetensors", T2V).rename(path)
    else:
        torch.save(T2V, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(MotionFileError, match=r"a\.ckpt .*damaged"):
        read_motion_file(path)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(MotionFileError) as error:
        read_motion_file(tmp_path / "none.ckpt")
    assert str(tmp_path / "none.ckpt") in str(error.value)


class Code:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", ["zip", "old pickle", "plain pickle 2", "plain pickle 5"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_pickle_is_not_run(tmp_path, kind):
    trace, path = tmp_path / "was run", tmp_path / "a.ckpt"
    content = {"state_dict": T2V if "plain" not in kind else {}, "code": Code(str(trace))}
    if "plain" in kind:
        path.write_bytes(pickle.dumps(content, protocol=int(kind[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(MotionFileError, match=r"a\.ckpt .*Nothing in it was run.* safetensors"):
        read_motion_file(path)
    assert not trace.exists()
    torch.load(path, weights_only=False) if "plain" not in kind else pickle.loads(path.read_bytes())
    assert trace.exists(), "the file of this test holds no code"

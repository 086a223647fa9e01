"""What is no motion file, or a damaged one, says what it is, and nothing of it is run."""

import math
import os
import pickle

import pytest
import torch
from animatelcm.motion.files import MotionFileError, read_motion_file
from animatelcm.tests.motion.files_by_hand import (
    BIASES,
    CHANNELS,
    I2V,
    KEY,
    SITES,
    T2V,
    V2,
    adapter,
    animatediff,
    save,
    table,
)

UNET = {"down_blocks.0.resnets.0.conv1.weight": torch.zeros(4), "up_blocks.1.attentions.0.norm.bias": torch.zeros(4)}
LEVELS3 = [(site, c) for site, c in SITES if not site.startswith(("down_blocks.3", "up_blocks.3"))]


@pytest.mark.parametrize(("tensors", "message"), [
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
     ["an IP-Adapter"]),
    ({"image_proj_model.norm.weight": torch.zeros(4), "adapter_modules.0.to_k_ip.weight": torch.zeros(4)},
     ["an IP-Adapter"]),
    ({"encoder.down.0.block.0.conv1.weight": torch.zeros(4), "quant_conv.weight": torch.zeros(4)},
     ["a VAE", "VAE loader"]),
    ({"decoder.up_blocks.0.resnets.0.conv1.weight": torch.zeros(4)}, ["a VAE"]),
    ({"first_stage_model.decoder.mid.block_1.conv1.weight": torch.zeros(4)}, ["a VAE"]),
    ({"text_model.encoder.layers.0.mlp.fc1.weight": torch.zeros(4)}, ["a text encoder", "CLIP loader"]),
    ({"encoder.block.0.layer.0.SelfAttention.q.weight": torch.zeros(4), "shared.weight": torch.zeros(4)},
     ["a text encoder"]),
    ({"vision_model.encoder.layers.0.mlp.fc1.weight": torch.zeros(4)}, ["a CLIP vision model"]),
    ({"input_blocks.0.0.weight": torch.zeros(4)}, ["a UNet of Stable Diffusion"]),
    ({"double_blocks.0.img_attn.qkv.weight": torch.zeros(4)}, ["a diffusion transformer, such as Flux"]),
    ({"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": torch.zeros(4)}, ["a diffusion transformer"]),
    ({"lora_controlnet": torch.zeros(0), "zero_convs.0.0.weight": torch.zeros(4)},
     ["a ControlNet", "ControlNet loader"]),
    ({"adapter.body.0.resnets.0.block1.weight": torch.zeros(4)}, ["a T2I-Adapter"]),
    ({"pose_encoder_state_dict": {"encoder_conv_in.weight": torch.zeros(4)},
      "attention_processor_state_dict": {f"{SITES[0][0]}.qkv_merge.weight": torch.zeros(4)}}, ["a CameraCtrl file"]),
    ({f"unet.{key}": tensor for key, tensor in animatediff(False, 32, sites=LEVELS3).items()},
     ["an SDXL motion module"]),
    ({f"unet.{key}": tensor for key, tensor in (V2 | {"conv_in.weight": torch.zeros(32, 9, 3, 3)}).items()}, ["PIA"]),
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
def test_a_foreign_or_incomplete_file_says_what_it_is(tmp_path, tensors, message):
    path = tmp_path / "some file.ckpt"
    torch.save(tensors, path)
    with pytest.raises(MotionFileError) as error:
        read_motion_file(path)
    for text in ("some file.ckpt", *message):
        assert text in str(error.value)
    assert len(str(error.value)) < 700


MIDDLE_MISSING = "its middle block is missing.*Download the file again"


@pytest.mark.parametrize(("name", "tensors", "metadata"), [
    ("AnimateLCM_sd15_t2v.ckpt", animatediff(mid_block=False), None),
    ("a.safetensors", animatediff(mid_block=False), None),
    ("a.ckpt", animatediff(mid_block=False, frames=64, position_name="pos_encoding"), None),
    ("a.ckpt", {key: tensor for key, tensor in I2V.items() if not key.startswith("mid_block.")}, None),
    ("AnimateLCM-adapter.bin", adapter(mid_block=False), None),
    ("animatediff_lightning_4step_comfyui.safetensors", animatediff(mid_block=False, frames=32), None),
    ("mm_sd_v15_v2.ckpt", animatediff(mid_block=False, frames=32), None),
    ("own.safetensors", animatediff(mid_block=False), {"animatelcm.family": "own", "animatelcm.mid_block": "True"}),
])
def test_a_family_that_has_a_middle_block_is_not_read_without_it(tmp_path, name, tensors, metadata):
    with pytest.raises(MotionFileError, match=rf"{name} is an incomplete .*{MIDDLE_MISSING}"):
        read_motion_file(save(tmp_path / name, tensors, metadata))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2])
def test_values_that_are_not_finite_are_found(tmp_path, value, dtype):
    tensors = animatediff(dtype=dtype)
    tensors[KEY].view(-1)[77] = value
    with pytest.raises(MotionFileError, match=r"a\.ckpt .*NaN or infinite") as error:
        read_motion_file(save(tmp_path / "a.ckpt", tensors))
    assert KEY in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float8_e4m3fn])
def test_the_largest_finite_values_are_not_taken_for_infinite(tmp_path, dtype):
    tensors = animatediff(dtype=dtype)
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


@pytest.mark.parametrize(("content", "message"), [
    (b"", "empty"),
    (b"<!DOCTYPE html>\n<html><title>Sign in</title></html>", "web page"),
    (b"\n  <html lang='en'></html>", "web page"),
    (POINTER, "git-lfs pointer"),
    (b"Access to this model is restricted.", "a text that begins with 'Access to this model"),
    (b"short", "only 5 bytes"),
    (b"GGUF\x03\x00\x00\x00" + bytes(100), "GGUF file.* Use the .safetensors or .ckpt file that it was made from"),
    (b"\x1f\x8b\x08" + bytes(100), "an archive .gzip.* Unpack it"),
    (b"\x89PNG\r\n" + bytes(100), "is a picture"),
    (bytes(range(200, 255)), "unknown kind"),
    (b"\x80\x02garbage", "PyTorch file|pickle"),
    (b"\x20\x00\x00\x00\x00\x00\x00\x00{garbage", "safetensors"),
])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_a_file_without_weights_says_what_it_is(tmp_path, content, message, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(MotionFileError, match=rf"a\{suffix} .*({message})"):
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

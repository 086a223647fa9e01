"""A TOML file is laid over a preset, and what it cannot say is refused by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from animatelcm.training.config import PRESETS
from animatelcm.training.options import OptionError, plan, read_toml

WHOLE = """
stage = "motion"
data = "clips"
preset = "tiny"
lora = "out/lora.safetensors"

[training]
num_frames = 8
seed = 3
[loop]
steps = 10
learning_rate = 2e-4
[distillation]
init = "both"
[lora_shape]
rank = 4
[clips]
frame_stride = 2
flip = 0.5
[views]
views = 7
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML needs Python 3.11")
def test_a_file_changes_what_it_names_and_nothing_else(tmp_path):
    file = tmp_path / "training.toml"
    file.write_text(WHOLE, encoding="utf-8")
    told = plan(read_toml(file))
    preset = PRESETS["tiny"]["motion"]
    assert (told.options.data, told.options.lora) == (Path("clips"), Path("out/lora.safetensors"))
    assert (told.options.model, told.options.schedule) == ("demo", "AnimateLCM text-to-video")
    assert (told.config.num_frames, told.config.seed, told.config.batch) == (8, 3, preset.batch)
    assert (told.config.loop.steps, told.config.loop.warmup, told.config.loop.clip) == (10, 5, preset.loop.clip)
    assert (told.config.distillation.init, told.config.distillation.huber) == ("both", preset.distillation.huber)
    assert (told.config.lora.rank, told.config.lora.alpha) == (4, preset.lora.alpha)
    assert (told.clips.num_frames, told.clips.width, told.clips.frame_stride, told.clips.flip) == (8, 128, 2, 0.5)
    assert told.views.views == 7


def test_the_image_stage_takes_single_frames():
    told = plan({"stage": "image", "data": "photographs", "training": {"num_frames": 5}})
    assert told.config.num_frames == told.clips.num_frames == 1
    assert told.config.loop == PRESETS["sd15-24gb"]["image"].loop


def test_an_image_encoder_is_trained_on_the_schedule_of_image_to_video():
    adapted = {"stage": "adapt", "data": "clips", "lora": "lora.safetensors"}
    assert plan(adapted).options.schedule == "AnimateLCM image-to-video"
    assert plan({**adapted, "schedule": "LCM"}).options.schedule == "LCM"
    assert plan({**adapted, "control_net": "depth.safetensors"}).options.schedule == "AnimateLCM text-to-video"


@pytest.mark.parametrize("change, said", [
    ({"stage": "video"}, "stage is 'video'; expected one of image, motion, adapt"),
    ({"stage": None}, "stage is not given"),
    ({"preset": "huge"}, "expected one of tiny"),
    ({"lora": "lora.safetensors"}, "lora is given, and the image stage makes one"),
    ({"stepz": 3}, "the file has 'stepz'; expected some of stage, data"),
    ({"loop": {"stepz": 3}}, r"\[loop\] has 'stepz'; expected some of steps"),
    ({"loop": {"steps": 0}}, r"\[loop\]: steps is 0"),
    ({"loop": {"steps": "many"}}, r"\[loop\]: "),
    ({"loop": 4}, r"loop is 4; expected a table, \[loop\]"),
    ({"clips": {"height": 64}}, r"\[clips\] has height, which belong into \[training\]"),
    ({"training": {"height": 60}}, "multiples of 8"),
    ({"control_net": "depth.safetensors"}, "control_net is given and stage is 'image'; expected the stage adapt"),
])
def test_what_cannot_be_is_named(change, said):
    told = {"stage": "image", "data": "clips", "preset": "tiny", **change}
    with pytest.raises(OptionError, match=said):
        plan({name: value for name, value in told.items() if value is not None})


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(OptionError, match=r"gone\.toml cannot be read"):
        read_toml(tmp_path / "gone.toml")
    (tmp_path / "bad.toml").write_text("stage = ", encoding="utf-8")
    with pytest.raises(OptionError, match=r"bad\.toml cannot be read"):
        read_toml(tmp_path / "bad.toml")


@pytest.mark.parametrize("name", ["", " ", "../outside", "/tmp/outside", "a/../../b", "cats.lora"])
def test_a_name_stays_in_the_output_folder_and_off_what_others_write(name):
    with pytest.raises(OptionError, match="expected a plain name"):
        plan({"stage": "image", "data": "clips", "name": name})
    assert plan({"stage": "image", "data": "clips", "name": "cats.v1"}).options.name == "cats.v1"

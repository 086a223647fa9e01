"""A TOML file is laid over a preset, and what it cannot say is refused by name."""

from __future__ import annotations

import random
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from animatelcm.training.cache import DataSettings
from animatelcm.training.clips import ClipSettings
from animatelcm.training.config import PRESETS, STAGES, DistillationConfig, LoopConfig, LoRAConfig, TrainingConfig
from animatelcm.training.options import OptionError, RunOptions, plan, read_toml

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
    asked = plan(read_toml(file))
    preset = PRESETS["tiny"]["motion"]
    assert (asked.options.data, asked.options.lora) == (Path("clips"), Path("out/lora.safetensors"))
    assert (asked.options.model, asked.options.schedule) == ("demo", "AnimateLCM text-to-video")
    assert (asked.config.num_frames, asked.config.seed, asked.config.batch) == (8, 3, preset.batch)
    assert (asked.config.loop.steps, asked.config.loop.warmup, asked.config.loop.clip) == (10, 5, preset.loop.clip)
    assert (asked.config.distillation.init, asked.config.distillation.huber) == ("both", preset.distillation.huber)
    assert (asked.config.lora.rank, asked.config.lora.alpha) == (4, preset.lora.alpha)
    assert (asked.clips.num_frames, asked.clips.width, asked.clips.frame_stride, asked.clips.flip) == (8, 128, 2, 0.5)
    assert asked.views.views == 7


def test_the_image_stage_takes_single_frames():
    asked = plan({"stage": "image", "data": "photographs", "training": {"num_frames": 5}})
    assert asked.config.num_frames == asked.clips.num_frames == 1
    assert asked.config.loop == PRESETS["sd15-24gb"]["image"].loop


def test_what_is_adapted_is_trained_on_the_schedule_of_its_motion_module():
    adapted = {"stage": "adapt", "data": "clips", "lora": "lora.safetensors"}
    for more in ({}, {"control_net": "depth.safetensors"}, {"distillation": {"rolling": 4}}):
        assert plan({**adapted, **more}).options.schedule == "auto"
    assert plan({**adapted, "schedule": "LCM"}).options.schedule == "LCM"
    for stage in ("image", "motion"):
        assert plan({"stage": stage, "data": "clips"}).options.schedule == "AnimateLCM text-to-video"


def test_tuning_to_the_rolling_sampler_takes_few_steps_unless_more_are_asked_for():
    tuned = {"stage": "adapt", "data": "clips", "distillation": {"rolling": 4}}
    assert plan(tuned).config.loop.steps == 200
    assert plan({**tuned, "loop": {"steps": 30}}).config.loop.steps == 30
    with pytest.raises(OptionError, match="rolling is 3, and a clip has 16 frames; expected frames that these steps"):
        plan({**tuned, "distillation": {"rolling": 3}})
    assert plan({**tuned, "distillation": {"rolling": 3}, "training": {"num_frames": 6}}).config.num_frames == 6


def test_one_seed_decides_the_data_too():
    given = {"stage": "motion", "data": "clips", "training": {"seed": 5}}
    assert plan(given).views.seed == plan(given).config.seed == 5
    assert plan({**given, "views": {"views": 2}}).views == DataSettings(views=2, seed=5)
    assert plan({**given, "views": {"seed": 1}}).views.seed == 1


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
    given = {"stage": "image", "data": "clips", "preset": "tiny", **change}
    with pytest.raises(OptionError, match=said):
        plan({name: value for name, value in given.items() if value is not None})


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(OptionError, match=r"gone\.toml cannot be read"):
        read_toml(tmp_path / "gone.toml")
    (tmp_path / "bad.toml").write_text("stage = ", encoding="utf-8")
    with pytest.raises(OptionError, match=r"bad\.toml cannot be read"):
        read_toml(tmp_path / "bad.toml")


TABLES = {"": RunOptions, "training": TrainingConfig, "loop": LoopConfig, "distillation": DistillationConfig,
          "lora_shape": LoRAConfig, "clips": ClipSettings, "views": DataSettings}
FIELDS = [(table, field.name) for table, kind in TABLES.items() for field in fields(kind)]
EXPECTED = {"str": "a text", "Path": "a path", "Path | None": "a path", "int": "a whole number", "float": "a number",
            "bool": "true or false",
            "tuple[float, float]": "a list of two numbers"}
ODD = [3, -1, 0, 2**70, 10**5000, 1.5, float("nan"), float("inf"), True, "text", "", "a\0b", [], [1, 2], ["x"], [[1.0]],
       {}, {"a": 1}, Path("x"), None]


def with_value(table, name, value, stage="motion"):
    given = {"stage": stage, "data": "clips", "preset": "tiny"}
    return {**given, table: {name: value}} if table else {**given, name: value}


@pytest.mark.parametrize(("table", "name"), FIELDS)
def test_a_value_of_another_type_is_named_with_its_table_and_what_was_expected(table, name):
    wanted = EXPECTED.get(next(field.type for field in fields(TABLES[table]) if field.name == name))
    where = rf"\[{table}\]" if table else "the file"
    with pytest.raises(OptionError, match=where) as error:
        plan(with_value(table, name, [{"a": 1}]))
    if wanted and (table, name) not in (("training", "stage"), *(("clips", size) for size in (
            "num_frames", "height", "width"))):
        assert f"{name} is [{{'a': 1}}]; expected {wanted}" in str(error.value)


def test_no_value_ends_in_another_error():
    """All fields with all odd values, and many tables of both at once."""
    draw = random.Random(0)
    cases = [with_value(table, name, value, stage) for stage in STAGES for table, name in FIELDS for value in ODD]
    for _ in range(300):
        given = with_value("", "preset", draw.choice(list(PRESETS)), draw.choice(STAGES))
        for table, name in draw.sample(FIELDS, 3):
            place = given.setdefault(table, {}) if table else given
            if isinstance(place, dict):
                place[draw.choice((name, "other"))] = draw.choice(ODD)
        cases.append(given)
    for given in cases:
        try:
            plan(given)
        except OptionError as error:
            assert len(str(error)) < 600


@pytest.mark.parametrize(("table", "name", "value", "given"), [
    ("loop", "learning_rate", 1, 1.0), ("loop", "betas", [0.5, 0.9], (0.5, 0.9)), ("loop", "ema_warmup", True, True)])
def test_values_become_what_their_fields_are(table, name, value, given):
    assert getattr(plan(with_value(table, name, value)).config.loop, name) == given


@pytest.mark.parametrize("text", ["a = " + "9" * 5000, "a = " + "[" * 5000, "a = 1\na = 2", "\x00", "a = nope"])
@pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML needs Python 3.11")
def test_a_file_that_is_no_toml_is_named(tmp_path, text):
    (tmp_path / "bad.toml").write_text(text, encoding="utf-8")
    with pytest.raises(OptionError, match=r"bad\.toml cannot be read"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(OptionError, match=r"bad\.toml cannot be read"):
        read_toml(tmp_path / "bad.toml")
    with pytest.raises(OptionError, match="cannot be read"):
        read_toml(tmp_path)


@pytest.mark.parametrize("stage", ["motion", "adapt"])
def test_clips_have_more_than_one_frame(stage):
    """A single one is an image to the network, in which nothing of what these stages train takes part."""
    with pytest.raises(OptionError, match=f"num_frames is 1; the stage {stage} trains on clips, of 2 frames or more"):
        plan({"stage": stage, "data": "a", "training": {"num_frames": 1}})
    images = {"stage": "adapt", "data": "a", "control_net": "depth.safetensors", "training": {"num_frames": 1}}
    assert plan(images).clips.num_frames == 1


@pytest.mark.parametrize("name", ["", " ", "../outside", "/tmp/outside", "a/../../b", "cats.lora"])
def test_a_name_stays_in_the_output_folder_and_off_what_others_write(name):
    with pytest.raises(OptionError, match="expected a plain name"):
        plan({"stage": "image", "data": "clips", "name": name})
    assert plan({"stage": "image", "data": "clips", "name": "cats.v1"}).options.name == "cats.v1"

"""Ways to distil by name, over any preset and stage."""

import pytest
from animatelcm.training.config import BEFORE, PRESETS, DistillationConfig
from animatelcm.training.methods import METHODS, described, with_method, without_guidance
from animatelcm.training.options import OptionError, plan
from animatelcm.training.origin import Origin

EVERY = [(preset, stage) for preset in PRESETS for stage in PRESETS[preset]]


@pytest.mark.parametrize(("preset", "stage"), EVERY)
def test_the_papers_method_changes_nothing_of_a_preset(preset, stage):
    config = PRESETS[preset][stage]
    assert with_method(config, "paper") == config
    assert all(getattr(config.distillation, name) == value for name, value in BEFORE.items())
    assert described(config.distillation) == ""


@pytest.mark.parametrize(("preset", "stage"), EVERY)
def test_the_others_change_the_way_to_distil_alone(preset, stage):
    config = PRESETS[preset][stage]
    phased, moving = (with_method(config, method) for method in METHODS[1:])
    how = phased.distillation
    assert (how.phases, how.target, how.motion_weight, how.own_samples) == (4, "student", 0, 0)
    assert how.w_max == min(config.distillation.w_max, 5) and how.w_min == min(config.distillation.w_min, 4)
    assert phased.loop == config.loop and phased.lora == config.lora
    terms = (1.0, 0.5) if stage == "motion" else (0, 0)
    assert (moving.distillation.motion_weight, moving.distillation.own_samples) == terms


def test_a_teacher_without_guidance_leaves_out_a_tenth_of_the_captions():
    how = without_guidance(DistillationConfig())
    assert (how.w_min, how.w_max, how.empty_captions) == (0, 0, 0.1)
    assert described(how) == "10% empty captions"


def test_a_file_names_a_method_and_changes_its_numbers():
    given = {"stage": "motion", "data": "clips", "preset": "tiny", "method": "phased + motion"}
    how = plan(given).config.distillation
    assert (how.phases, how.motion_weight, how.w_max) == (4, 1.0, 3.0)
    how = plan({**given, "distillation": {"phases": 8, "own_samples": 0.25, "target": "average"}}).config.distillation
    assert (how.phases, how.own_samples, how.target, how.motion_weight) == (8, 0.25, "average", 1.0)
    assert plan({**given, "bases": ["ink.ckpt: 0.8", "styles"]}).options.bases == ("ink.ckpt: 0.8", "styles")


@pytest.mark.parametrize(("change", "said"), [
    ({"method": "best"}, "method is 'best'; expected one of paper, phased, phased \\+ motion"),
    ({"stage": "adapt", "method": "phased"}, "method is 'phased' and stage is 'adapt'; leave it out"),
    ({"stage": "image", "bases": ["a"]}, "bases are given and stage is 'image'; expected the stage motion"),
    ({"bases": "a.safetensors"}, "bases is 'a.safetensors'; expected a list of texts"),
    ({"distillation": {"phases": 0}}, r"\[distillation\]: phases is 0; expected 1 to 100"),
])
def test_what_cannot_be_is_named(change, said):
    with pytest.raises(OptionError, match=said):
        plan({"stage": "motion", "data": "clips", "preset": "tiny", **change})


def test_a_checkpoint_that_does_not_name_a_later_setting_was_made_with_its_default():
    """All other settings have to be named: those were there from the beginning."""
    old = Origin({"seed": 0, "huber": 1e-3})
    assert Origin({**old.settings, **BEFORE}).differences(old, 1) == []
    assert old.differences(Origin({**old.settings, **BEFORE}), 1) == []
    assert Origin({**old.settings, **BEFORE, "phases": 4}).differences(old, 1) == ["phases 4, was 1"]
    assert Origin({**old.settings, "skip": 1}).differences(old, 1) == ["skip 1, was none"]

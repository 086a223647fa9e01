"""Which changes make a run another one, and what is said of each."""

import pytest
from animatelcm.training.origin import Origin

BEFORE = Origin({"steps": 500, "learning_rate": 2e-4, "rate": "constant", "warmup": 20, "save_every": 200, "seed": 0,
                 "gradient_checkpointing": True, "divergence": 20.0},
                {"data": "d", "base model": "m", "motion module": "a", "method": "1"})


@pytest.mark.parametrize("changes", [
    {}, {"steps": 900}, {"save_every": 5}, {"gradient_checkpointing": False}, {"divergence": 2.0},
    {"steps": 900, "warmup": 40}])
def test_what_changes_no_finished_step_may_change(changes):
    assert BEFORE.and_settings(changes).differences(BEFORE, finished=100) == []


@pytest.mark.parametrize("changes, finished, said", [
    ({"learning_rate": 1e-4}, 100, ["learning_rate 0.0001, was 0.0002"]),
    ({"seed": 1}, 100, ["seed 1, was 0"]),
    ({"schedule": "LCM"}, 100, ["schedule LCM, was none"]),
    ({"rate": "cosine"}, 100, ["rate cosine, was constant"]),
    # Of the two, one falls over all its steps.
    ({"rate": "cosine", "steps": 900}, 100, ["steps 900, was 500", "rate cosine, was constant"]),
    # Twenty steps of the first warm-up, forty of the second: neither may be running.
    ({"warmup": 40, "steps": 900}, 30, ["warmup 40, was 20"]),
    ({"warmup": 10}, 15, ["warmup 10, was 20"])])
def test_settings_that_differ_are_named_with_both_values(changes, finished, said):
    assert BEFORE.and_settings(changes).differences(BEFORE, finished) == said


def test_more_steps_are_another_run_where_the_rate_falls_over_all_of_them():
    before = BEFORE.and_settings({"rate": "cosine"})
    assert before.differences(before, 100) == []
    assert before.and_settings({"steps": 900}).differences(before, 100) == ["steps 900, was 500"]


@pytest.mark.parametrize("contents, said", [
    ({"data": "e"}, "other data"), ({"base_model": "n"}, "another base model"),
    ({"method": "2"}, "another version of the method, which is part of this pack"),
    ({"LoRA": "l"}, "with LoRA, was without")])
def test_contents_that_differ_are_named(contents, said):
    own = BEFORE.and_contents(**contents)
    assert own.differences(BEFORE, 100) == [said]
    assert Origin(**own.plain()) == own


def test_a_part_that_is_missing_is_named():
    with_lora = BEFORE.and_contents(LoRA="l")
    assert BEFORE.differences(with_lora, 100) == ["without LoRA, was with"]

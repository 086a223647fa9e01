"""The nodes that put a motion module into a MODEL and say where it acts: each socket is what it is called."""

import pytest
import torch
from animatelcm.host.folders import register_folders
from animatelcm.host.motion import applied_to
from animatelcm.nodes.controls import MotionControl
from animatelcm.nodes.motion import AUTO, KEEP, ApplyMotionModule, chosen_schedule
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.support import SCHEDULE, loaded_motion, tiny_model

register_folders()


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    return loaded_motion(tmp_path_factory.mktemp("motion"))


def test_the_strength_is_that_of_the_module(motion):
    first = ApplyMotionModule.execute(tiny_model(), motion, 0.3, AUTO).result[0]
    second = ApplyMotionModule.execute(first, motion, 1.7, AUTO).result[0]
    assert [entry.strength for entry in applied_to(second)] == [0.3, 1.7]
    assert [entry.strength for entry in applied_to(first)] == [0.3]


@pytest.mark.parametrize("schedule", [AUTO, KEEP, *SCHEDULES])
def test_the_schedule_is_the_files_the_models_or_the_one_that_is_named(motion, schedule):
    model = tiny_model()
    sampling = ApplyMotionModule.execute(model, motion, 1.0, schedule).result[0].get_model_object("model_sampling")
    if schedule == KEEP:
        assert sampling is model.get_model_object("model_sampling")
    else:
        assert sampling.schedule is SCHEDULES[SCHEDULE if schedule == AUTO else schedule]


@pytest.mark.parametrize(("old", "schedule", "said"), [
    ("autoselect", AUTO, None), ("use existing", KEEP, "a checkpoint loader set one"),
    ("sqrt_linear (AnimateDiff)", "AnimateDiff", None), ("lcm", "LCM", None),
    ("linear (HotshotXL/default)", "Stable Diffusion 1.5", None),
    ("lcm >> sqrt_linear", "AnimateLCM text-to-video", "AnimateLCM's own grid"),
    ("cosine", AUTO, "beta_schedule 'cosine' is not there"),
])
def test_the_schedule_of_a_replaced_node_is_kept_or_it_is_said_what_became_of_it(motion, old, schedule, said):
    """ComfyUI puts the old node's value into the new one as it is."""
    assert ApplyMotionModule.validate_inputs(old) is True
    assert chosen_schedule(motion, old)[0] == chosen_schedule(motion, schedule)[0]
    lines = chosen_schedule(motion, old)[1]
    assert lines.startswith(chosen_schedule(motion, schedule)[1])
    assert f"schedule was {old!r}" in lines if said else lines == chosen_schedule(motion, schedule)[1]
    assert said is None or said in lines


@pytest.mark.parametrize("schedule", [AUTO, KEEP, *SCHEDULES, None])
def test_the_choices_are_valid_and_nothing_else_is(schedule):
    assert ApplyMotionModule.validate_inputs(schedule) is True
    assert "schedule is 'karras'; expected one of auto, AnimateLCM" in ApplyMotionModule.validate_inputs("karras")


def test_controls_say_when_where_and_how_strongly_and_add_up(motion):
    mask = torch.rand(1, 8, 8)
    first = MotionControl.execute(motion, 0.2, 0.9, "0: 1, 3: 0.25", mask).result[0]
    both = MotionControl.execute(first, 0.0, 0.5, "").result[0]
    own, other = both.controls
    assert (own.start_percent, own.end_percent, own.mask is mask) == (0.2, 0.9, True)
    assert own.curve.over(4).tolist() == [1.0, 0.75, 0.5, 0.25]
    assert (other.start_percent, other.end_percent, other.curve, other.mask) == (0.0, 0.5, None, None)
    assert motion.controls == () and first.controls == (own,)
    [applied] = applied_to(ApplyMotionModule.execute(tiny_model(), both, 1.0, AUTO).result[0])
    assert applied.controls == (own, other)

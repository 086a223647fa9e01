"""What an adaptation takes from the motion module that it is for, and what it refuses."""

from dataclasses import replace

import pytest
from animatelcm.host.training import control_nets, runs
from animatelcm.host.training.requests import adapted_to, tuned_to_rolling
from animatelcm.motion.trained import Trained
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host.controls import control_net
from animatelcm.tests.host.training.training_data import data, request
from animatelcm.training.options import AUTO, TEXT_TO_VIDEO

IMAGE_TO_VIDEO = "AnimateLCM image-to-video"
TRAININGS = {
    "encoder": lambda model, motion, asked, run: runs.train_image_encoder(model, motion, False, data(), asked, run),
    "both": lambda model, motion, asked, run: runs.train_image_encoder(model, motion, True, data(), asked, run),
    "rolling": lambda model, motion, asked, run: runs.tune_motion_module(
        model, motion, data(), asked.for_rolling(3), run),
    "control": lambda model, motion, asked, run: control_nets.adapt_control_net(
        model, motion, control_net(), data(hints=True), asked, run),
}


class FarEnoughError(Exception):
    """A training has come as far as its first step."""


def begins(kind, model, motion, schedule):
    """Return the noise that the training of a kind is done on, and its settings."""
    seen = []

    def run(stage, setting):
        seen.append(setting)
        raise FarEnoughError

    with pytest.raises(FarEnoughError):
        TRAININGS[kind](model, motion, replace(request("adapt"), schedule=schedule), run)
    return seen[0]


def with_schedule(motion, name):
    return replace(motion, schedule=name, name="mine")


@pytest.mark.parametrize("kind", TRAININGS)
def test_it_is_trained_on_the_schedule_of_its_module(kind, model, motion):
    setting = begins(kind, model, with_schedule(motion, IMAGE_TO_VIDEO), AUTO)
    assert setting.config.distillation.original_steps == SCHEDULES[IMAGE_TO_VIDEO].original_steps == 200
    assert setting.origin.settings["schedule"] == IMAGE_TO_VIDEO
    own = begins(kind, model, with_schedule(motion, TEXT_TO_VIDEO), AUTO)
    assert own.origin.settings["schedule"] == TEXT_TO_VIDEO
    assert own.diffusion.alphas_cumprod[-1] > setting.diffusion.alphas_cumprod[-1]


@pytest.mark.parametrize("kind", ["encoder", "rolling", "control"])
def test_another_schedule_than_its_modules_is_refused(kind, model, motion):
    with pytest.raises(ValueError, match="schedule is 'LCM', and mine was trained with 'AnimateLCM image-to-video'"):
        TRAININGS[kind](model, with_schedule(motion, IMAGE_TO_VIDEO), replace(request("adapt"), schedule="LCM"), None)


def test_a_module_that_is_trained_with_its_encoder_may_be_led_to_another(model, motion):
    setting = begins("both", model, with_schedule(motion, TEXT_TO_VIDEO), IMAGE_TO_VIDEO)
    assert setting.origin.settings["schedule"] == IMAGE_TO_VIDEO


@pytest.mark.parametrize("kind", TRAININGS)
def test_nothing_is_adapted_to_a_module_that_needs_many_steps(kind, model, motion):
    with pytest.raises(ValueError, match=r"mine .* has no distillation grid.*Distil it first"):
        TRAININGS[kind](model, with_schedule(motion, "AnimateDiff"), replace(request("adapt"), schedule=AUTO), None)


def test_a_schedule_of_a_newer_version_is_named(motion):
    with pytest.raises(ValueError, match="mine asks in its metadata for the noise schedule 'newer'"):
        adapted_to(with_schedule(motion, "newer"), replace(request("adapt"), schedule=AUTO))


def test_without_a_module_it_is_that_of_text_to_video():
    assert adapted_to(None, replace(request("adapt"), schedule=AUTO)).schedule == TEXT_TO_VIDEO
    assert adapted_to(None, replace(request("adapt"), schedule="LCM")).schedule == "LCM"


@pytest.mark.parametrize(("schedule", "changes", "said"), [
    ("AnimateDiff", {}, "schedule is 'AnimateDiff'; expected one with a distillation grid: AnimateLCM text-to-video"),
    ("nonsense", {}, "schedule is 'nonsense'; expected one"),
    ("LCM", {"skip": 60}, "with the grid of the schedule 'LCM', of 50 timesteps: skip is 60; expected 1 to 50"),
    ("LCM", {"phases": 70}, "phases is 70; expected 1 to 50"),
])
def test_what_a_grid_does_not_have_is_named(schedule, changes, said):
    asked = replace(request("motion"), schedule=schedule)
    asked = replace(asked, config=replace(asked.config, distillation=replace(asked.config.distillation, **changes)))
    with pytest.raises(ValueError, match=said):
        asked.on_its_grid()


@pytest.mark.parametrize(("phases", "steps", "fits"), [(3, 3, True), (4, 8, True), (4, 4, True), (4, 2, False),
                                                        (4, 6, False), (4, 1, False), (1, 6, True)])
def test_a_phased_module_is_tuned_to_steps_that_end_where_its_phases_do(motion, phases, steps, fits):
    asked = request("adapt").with_phases(phases, guided=True)
    asked = replace(asked, config=replace(asked.config, num_frames=24)).for_rolling(steps)
    module = replace(motion, trained=Trained(phases=phases), name="mine")
    if fits:
        assert tuned_to_rolling(module, asked).config.distillation.phases == phases
        return
    with pytest.raises(ValueError, match=f"mine was trained in 4 phases, and {steps} steps .* Tune it to 4 steps"):
        tuned_to_rolling(module, asked)

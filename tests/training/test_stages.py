"""Who has which weights in each stage."""

import pytest
import torch
from animatelcm.tests.training import toys
from animatelcm.training import ema
from animatelcm.training.config import LoopConfig
from animatelcm.training.loop import train
from animatelcm.training.stages import UP, adaptation_stage, image_stage, motion_stage, network


def run(model, weights=None):
    examples = toys.source(99)
    with torch.no_grad():
        return network(model, weights or {}, {})(examples.latents, torch.tensor([9, 99]), examples.context)


def without_lora():
    return run(toys.Model())


def test_the_target_starts_without_the_spatial_lora_and_the_student_with_it():
    setting = toys.setting("motion")
    stage = motion_stage(setting)
    assert torch.equal(run(setting.model, stage.average), without_lora())
    assert not torch.allclose(run(setting.model), without_lora(), atol=1e-2)


def test_the_averaging_brings_the_lora_into_the_target():
    setting = toys.setting("motion")
    stage = motion_stage(setting)
    list(train(stage, LoopConfig(steps=5, learning_rate=1e-2, ema=0.8)))
    ups = {name: p for name, p in setting.model.named_parameters() if name.endswith(UP)}
    assert ups
    for name, up in ups.items():
        torch.testing.assert_close(stage.average[name], (1 - 0.8**5) * up.detach())
        down = name.replace(UP, ".down.weight")
        torch.testing.assert_close(stage.average[down], setting.model.get_parameter(down).detach())


def test_both_may_start_with_the_lora_and_none_may_have_it():
    both = toys.setting("motion", init="both")
    assert torch.equal(run(both.model, motion_stage(both).average), run(both.model))
    none = toys.setting("motion", lora=False, init="none")
    stage = motion_stage(none)
    assert torch.equal(run(none.model, stage.average), without_lora())
    assert set(stage.parameters) == {"motion.weight", "motion.bias"}


@pytest.mark.parametrize("decoupled", [True, False])
def test_the_motion_stage_trains_the_motion_module_and_all_at_once_the_lora_too(decoupled):
    setting = toys.setting("motion", decoupled=decoupled)
    before = ema.copies(dict(setting.model.named_parameters()))
    list(train(motion_stage(setting), LoopConfig(steps=1, learning_rate=1e-2)))
    changed = {name.split(".")[-2] for name, p in setting.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == ({"motion"} if decoupled else {"motion", "up", "down"})


def test_where_all_is_trained_at_once_the_target_starts_as_the_student():
    """Nothing was distilled before that the target should receive little by little."""
    setting = toys.setting("motion", decoupled=False)
    assert torch.equal(run(setting.model, motion_stage(setting).average), run(setting.model))


def test_the_image_stage_trains_the_lora_alone():
    setting = toys.setting("image")
    before = ema.copies(dict(setting.model.named_parameters()))
    list(train(image_stage(setting), LoopConfig(steps=1, learning_rate=1e-2)))
    changed = {name.split(".")[-2] for name, p in setting.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"up", "down"}


def calls_of(setting, stage):
    """Return the outputs of every call of the model during one evaluation of the loss, without gradient or with."""
    calls = []
    setting.model.register_forward_hook(lambda model, inputs, output: calls.append((inputs, output)))
    stage.loss(0)
    return calls


def test_the_teacher_stays_what_the_student_started_from():
    """The guided teacher is the first to be called, with the caption and without."""
    setting = toys.setting("motion")
    stage = motion_stage(setting)
    list(train(stage, LoopConfig(steps=3, learning_rate=1e-1)))
    calls = calls_of(setting, stage)
    assert [output.requires_grad for _, output in calls] == [False, False, False, True]
    base = toys.Model()
    for inputs, output in calls[:2]:
        torch.testing.assert_close(output, base(*inputs), rtol=0, atol=1e-6)


def test_the_teacher_spends_no_time_on_the_lora():
    for make, name in ((image_stage, "image"), (motion_stage, "motion")):
        setting, of_lora = toys.setting(name), []
        setting.model.unet.conv.down.register_forward_hook(lambda layer, inputs, output, to=of_lora: to.append(output))
        assert [output.requires_grad for _, output in calls_of(setting, make(setting))] == [False, False, False, True]
        assert len(of_lora) == 2, f"{name}: the target's and the student's"


def test_adaptation_has_no_teacher():
    """Two calls: the target's and the student's. Nothing else is held than the target's copy of what is trained."""
    setting = toys.setting("adapt")
    stage = adaptation_stage(setting, ("motion.",))
    assert [output.requires_grad for _, output in calls_of(setting, stage)] == [False, True]
    assert set(stage.average) == set(stage.parameters) == {"motion.weight", "motion.bias"}
    assert stage.teacher == {}


def test_adaptation_aims_at_the_average_and_not_at_the_student():
    """An average that keeps all is the network as it was."""
    setting = toys.setting("adapt", lora=False)
    stage = adaptation_stage(setting, ("motion.",))
    list(train(stage, LoopConfig(steps=3, learning_rate=1e-1, ema=1.0)))
    (of_target, aim), (of_student, prediction) = calls_of(setting, stage)
    base = toys.Model()
    torch.testing.assert_close(aim, base(*of_target), rtol=0, atol=1e-6)
    assert (prediction - base(*of_student)).abs().max() > 1e-3


def test_the_losses_fall():
    for make, name in ((image_stage, "image"), (motion_stage, "motion")):
        setting = toys.setting(name)
        losses = [report.loss for report in train(make(setting), LoopConfig(steps=150, learning_rate=1e-2))]
        assert sum(losses[-30:]) < 0.9 * sum(losses[:30]), name


def test_a_stage_without_anything_to_train_is_refused():
    with pytest.raises(ValueError, match="nothing to train"):
        image_stage(toys.setting("image", lora=False))


@pytest.mark.parametrize("make, name, part, weight", [
    (image_stage, "image", "the MODEL's UNet", "unet.last.bias"), (motion_stage, "motion", "the LoRA", "unet.conv.up"),
    (motion_stage, "motion", "the motion module", "motion.weight"),
    (lambda setting: adaptation_stage(setting, ("motion.",)), "adapt", "the MODEL's UNet", "unet.last.weight"),
])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named_before_the_first_step(make, name, part, weight, bad):
    setting = toys.setting(name)
    with torch.no_grad():
        next(p for key, p in setting.model.named_parameters() if key.startswith(weight)).view(-1)[0] = bad
    with pytest.raises(ValueError, match=f"{part} has 1 tensors with nan or infinite numbers, such as {weight}"):
        make(setting)


def test_a_table_that_is_no_numbers_is_named_as_a_weight_is():
    setting = toys.setting("motion")
    setting.model.motion.register_buffer("positions", torch.tensor([0.0, float("nan")]))
    with pytest.raises(ValueError, match="the motion module has 1 tensors with nan .*, such as motion.positions"):
        motion_stage(setting)

"""Differences between frames, clean latents of the student's own, and a target of its own weights."""

from dataclasses import replace

import pytest
import torch
from animatelcm.tests.training import gaussian, toys
from animatelcm.tests.training.gaussian import DIFFUSION
from animatelcm.training.config import PRESETS, DistillationConfig, LoopConfig
from animatelcm.training.draws import draw
from animatelcm.training.loop import train
from animatelcm.training.losses import distance, pseudo_huber
from animatelcm.training.own_samples import has_own_samples, own_samples
from animatelcm.training.stages import UP, image_stage, motion_stage

PHASED = {"phases": 4, "target": "student", "motion_weight": 1.0, "own_samples": 0.5, "empty_captions": 0.3}


def test_the_motion_term_sees_what_moves_and_nothing_else():
    """A constant error has no part in it; a still clip lacks all of it."""
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(2, 5, 4, 3, 3, generator=generator)
    for error, share in ((torch.full_like(clip, 0.3), 0.0), (0.3 * torch.randn(clip.shape, generator=generator), 1.0)):
        plain = distance(clip, clip + error, 1e-3)
        assert torch.equal(plain, pseudo_huber(clip, clip + error, 1e-3))
        term = (distance(clip, clip + error, 1e-3, 2.0) - plain) / 2
        expected = share * pseudo_huber(error[:, 1:] - error[:, :-1], torch.zeros(1), 1e-3)
        torch.testing.assert_close(term, expected, rtol=1e-4, atol=1e-4)


def test_own_samples_are_what_a_perfect_student_makes_of_pure_noise():
    config = DistillationConfig(100, own_samples=1.0)
    d = draw(gaussian.examples(), config, seed=0, number=3)
    made = own_samples(gaussian.perfect, d, config, DIFFUSION, 0, 3)
    # By the exact consistency function: all of the data's own distribution.
    assert made.mean() == pytest.approx(gaussian.MEAN, abs=0.05)
    assert made.std() == pytest.approx(gaussian.SPREAD, abs=0.05)
    assert not torch.equal(made, d.x0) and made.dtype == d.x0.dtype
    assert torch.equal(made, own_samples(gaussian.perfect, d, config, DIFFUSION, 0, 3))
    assert not torch.equal(made, own_samples(gaussian.perfect, d, config, DIFFUSION, 0, 4))


def test_own_samples_begin_with_noise_that_the_draw_does_not_have():
    """Else the student could read x0 off the noise on it; one number on or back would do as well."""
    config = DistillationConfig(100, own_samples=1.0)
    examples = replace(gaussian.examples(), latents=torch.zeros(1, 5000, 1, 1))
    for number in range(20):
        d = draw(examples, config, seed=0, number=number)
        # An estimate of zero leaves what it is given, times a number.
        made = own_samples(lambda z, timesteps, context: torch.zeros_like(z), replace(d, x0=torch.ones_like(d.x0)),
                           config, DIFFUSION, 0, number)
        noise, own = d.noise.flatten(), made.flatten()
        for shift in range(-8, 9):
            pair = torch.stack([noise.roll(shift), own])
            assert pair.corrcoef()[0, 1].abs() < 0.1, f"batch {number}, shift {shift}"


@pytest.mark.parametrize(("phases", "asked"), [(1, [999]), (4, [999, 749, 499, 249])])
def test_own_samples_go_through_the_phases_with_the_captions_of_the_draw(phases, asked):
    calls = []

    def student(z, timesteps, context):
        assert not torch.is_grad_enabled()
        calls.append((int(timesteps[0]), context))
        return gaussian.teacher(z, timesteps, context)

    config = DistillationConfig(100, phases=phases, own_samples=1.0, pure_noise=0.3)
    d = draw(gaussian.examples(), config, seed=0, number=0)
    made = own_samples(student, d, config, DIFFUSION, 0, 0)
    assert [timestep for timestep, _ in calls] == asked and all(context is d.context for _, context in calls)
    hidden = (d.x0 == 0).flatten(1).all(1)
    assert 0 < hidden.sum() < len(hidden)
    assert torch.equal((made == 0).flatten(1).all(1), hidden), "noise alone stays noise alone"


def test_a_share_of_the_batches_has_own_samples():
    for share in (0.0, 0.3, 1.0):
        found = [has_own_samples(DistillationConfig(100, own_samples=share), 1, number) for number in range(2000)]
        assert sum(found) / 2000 == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("changes", [PHASED, {"own_samples": 1.0}, {"target": "student"}])
def test_gradients_reach_all_that_is_trained_in_any_precision(changes, precision):
    """Autocast keeps what it converts: without a gradient, where the student is first called under no_grad."""
    setting = toys.setting("motion", **changes)
    stage = motion_stage(setting)
    for number in range(4):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = stage.loss(number)
        loss.backward()
        for parameter in stage.parameters.values():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0
            parameter.grad = None
    frozen = [p for p in setting.model.parameters() if not any(p is own for own in stage.parameters.values())]
    assert all(p.grad is None for p in frozen) and not any(w.requires_grad for w in stage.average.values())


def test_a_target_of_the_students_own_weights_is_the_student():
    """It has its LoRA from the start, and the average, which is what comes out, decides nothing."""
    losses = []
    for factor in (1.0, 3.0):
        setting = toys.setting("motion", target="student")
        stage = motion_stage(setting)
        assert all(stage.average[name].abs().sum() > 0 for name in stage.average if name.endswith(UP))
        for weight in stage.average.values():
            weight.mul_(factor)
        losses.append(stage.loss(0))
    assert torch.equal(*losses)
    # As where an average is the student.
    setting = toys.setting("motion", init="both")
    assert torch.equal(motion_stage(setting).loss(0), losses[0])


@pytest.mark.parametrize("make", [image_stage, motion_stage])
def test_a_run_that_was_cut_goes_on_bit_for_bit(make, tmp_path):
    name = "image" if make is image_stage else "motion"
    changes = PHASED | ({"motion_weight": 0.0} if name == "image" else {}) | {"skip_start": 8, "skip_every": 2}
    loop = LoopConfig(steps=6, learning_rate=1e-2, save_every=2, accumulation=2)

    def run(path, steps):
        setting = toys.setting(name, loop=loop, **changes)
        stage = make(setting)
        losses = [report.loss for report in train(stage, replace(loop, steps=steps), path)]
        return losses, stage

    losses, whole = run(tmp_path / "whole.pt", 6)
    first, _ = run(tmp_path / "cut.pt", 2)
    rest, resumed = run(tmp_path / "cut.pt", 6)
    assert first + rest == losses
    assert all(torch.equal(p, whole.parameters[name]) for name, p in resumed.parameters.items())
    assert all(torch.equal(w, whole.average[name]) for name, w in resumed.average.items())


@pytest.mark.parametrize(("stage", "changes", "said"), [
    ("adapt", {"own_samples": 0.5}, "own_samples is 0.5; expected 0 in the stage adapt"),
    ("image", {"motion_weight": 1.0}, "motion_weight is 1.0; expected 0 where images are trained on"),
])
def test_a_term_is_refused_where_it_means_nothing(stage, changes, said):
    config = PRESETS["tiny"][stage]
    with pytest.raises(ValueError, match=said):
        replace(config, distillation=replace(config.distillation, **changes))


def test_the_networks_are_called_as_often_as_they_have_to():
    """Own samples cost a pass for each phase, and a teacher without guidance saves one."""
    def calls(**changes):
        setting = toys.setting("motion", **changes)
        stage, count = motion_stage(setting), []
        setting.model.register_forward_hook(lambda *_: count.append(1))
        stage.loss(0)
        return len(count)

    assert calls() == 4 and calls(w_min=0.0, w_max=0.0) == 3
    assert calls(own_samples=1.0) == 5 and calls(own_samples=1.0, phases=4) == 8

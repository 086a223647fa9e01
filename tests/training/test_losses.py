"""The solver and the losses, where the truth is known in closed form."""

from dataclasses import replace

import pytest
import torch
from animatelcm.tests.training import gaussian
from animatelcm.tests.training.gaussian import DIFFUSION, EMPTY
from animatelcm.training.config import PRESETS, DistillationConfig
from animatelcm.training.consistency import Diffusion
from animatelcm.training.draws import draw
from animatelcm.training.losses import distillation_loss, pseudo_huber, teacher_free_loss
from animatelcm.training.solver import ddim_step, guided_prediction
from torch import nn

QUADRATIC = 1e3
"""With so large an h the pseudo-Huber distance is d^2 / 2h."""


def drawn(original_steps=100, count=64, **examples):
    return draw(gaussian.examples(count, **examples), DistillationConfig(original_steps), seed=0, number=0)


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_ddim_with_the_true_noise_lands_on_the_true_trajectory(kind):
    d, diffusion = drawn(), Diffusion(DIFFUSION.alphas_cumprod, kind)
    z, aim = (diffusion.add_noise(d.x0, d.noise, t) for t in (d.timesteps, d.next_timesteps))
    alpha = diffusion.alpha(d.timesteps, z)
    prediction = d.noise if kind == "eps" else alpha.sqrt() * d.noise - (1 - alpha).sqrt() * d.x0
    landed = ddim_step(prediction, z, d.timesteps, d.next_timesteps, diffusion)
    torch.testing.assert_close(landed.double(), aim, rtol=0, atol=1e-4)


def test_ddim_follows_the_flow_ever_closer_on_a_finer_grid():
    def error(original_steps):
        d = drawn(original_steps)
        z = DIFFUSION.add_noise(d.x0, d.noise, d.timesteps)
        landed = ddim_step(gaussian.teacher(z, d.timesteps, None), z, d.timesteps, d.next_timesteps, DIFFUSION)
        return (landed - gaussian.along_the_flow(z, d.timesteps, d.next_timesteps)).abs().mean()

    # A step's error falls with the square of its length.
    assert error(100) < error(25) / 10
    assert error(1000) < error(100) / 50


def test_the_exact_consistency_function_has_no_loss():
    d = drawn(1000)
    exact = distillation_loss(gaussian.perfect, gaussian.perfect, gaussian.teacher, d, EMPTY, DIFFUSION, 1e-3)
    denoiser = distillation_loss(gaussian.teacher, gaussian.teacher, gaussian.teacher, d, EMPTY, DIFFUSION, 1e-3)
    assert exact < 1e-7
    assert denoiser > 10_000 * exact


def test_without_spread_the_sample_is_as_good_as_a_teacher():
    """Where all data are one point, its noise is the score exactly, so both losses agree for any student."""
    def teacher(z, timesteps, context):
        alpha = DIFFUSION.alpha(timesteps, z)
        return (z - alpha.sqrt() * gaussian.MEAN) / (1 - alpha).sqrt()

    d = drawn(spread=0.0)
    # A student that is wrong, so that there is a loss.
    with_teacher = distillation_loss(gaussian.teacher, gaussian.teacher, teacher, d, EMPTY, DIFFUSION, 1e-3)
    alone = teacher_free_loss(gaussian.teacher, gaussian.teacher, d, DIFFUSION, 1e-3)
    assert alone > 1e-3
    torch.testing.assert_close(alone, with_teacher, rtol=1e-3, atol=0)


def test_the_teacher_free_loss_is_least_at_the_regression_on_the_noisier_latent():
    """In the mean, the best linear f at t_{n+k} is Cov(f(z_n), z_{n+k}) / Var(z_{n+k}) times the distance."""
    d = drawn(count=20_000)
    d = replace(d, timesteps=torch.full_like(d.timesteps, 599), next_timesteps=torch.full_like(d.timesteps, 399))
    a, b = (float(DIFFUSION.alphas_cumprod[t]) for t in (599, 399))
    first = float(DIFFUSION.alphas_cumprod[0])
    covariance = (a * b) ** 0.5 * gaussian.SPREAD**2 + ((1 - a) * (1 - b)) ** 0.5
    var_a, var_b, var_0 = (x * gaussian.SPREAD**2 + 1 - x for x in (a, b, first))
    best = (var_0 / var_b) ** 0.5 * covariance / var_a

    def slope_of_loss(factor):
        factor = torch.tensor(factor, dtype=torch.float64, requires_grad=True)
        student = gaussian.predicting(
            lambda z, t: first**0.5 * gaussian.MEAN + factor * (z - a**0.5 * gaussian.MEAN))
        teacher_free_loss(student, gaussian.perfect, d, DIFFUSION, QUADRATIC).backward()
        return factor.grad.item()

    assert abs(slope_of_loss(best)) < 0.01 * abs(slope_of_loss(best + 0.1))
    assert slope_of_loss(best - 0.1) < 0 < slope_of_loss(best + 0.1)


class Net(nn.Module):
    """A network with a parameter to send gradients to."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 5)

    def forward(self, z, timesteps, context):
        return self.layer(z.float())


@pytest.mark.parametrize("teacher_free", [False, True])
def test_gradients_reach_the_student_alone(teacher_free):
    student, target, teacher = Net(), Net(), Net()
    d = drawn()
    if teacher_free:
        teacher_free_loss(student, target, d, DIFFUSION, 1e-3).backward()
    else:
        distillation_loss(student, target, teacher, d, EMPTY, DIFFUSION, 1e-3).backward()
    assert student.layer.weight.grad.abs().sum() > 0
    assert all(p.grad is None for net in (target, teacher) for p in net.parameters())


def test_the_student_alone_keeps_what_a_way_back_needs():
    """Also where the weights of the others could be trained."""
    student, target, teacher = Net(), Net(), Net()
    kept = []
    for net in (student, target, teacher):
        net.register_forward_hook(lambda net, inputs, output: kept.append((net, output.requires_grad)))
    distillation_loss(student, target, teacher, drawn(), EMPTY, DIFFUSION, 1e-3)
    assert kept == [(teacher, False), (teacher, False), (target, False), (student, True)]


def test_guidance_goes_beyond_the_conditional_prediction_by_each_samples_w():
    d = replace(drawn(count=2), w=torch.tensor([0.0, 3.0]), context=torch.ones(2, 2, 3))
    guided = guided_prediction(lambda z, t, c: z * 0 + 1 + c.mean(), torch.zeros(2, 4, 5, 5), d, EMPTY)
    # conditional 2, unconditional 1: (1 + w) 2 - w
    assert guided[0].unique().tolist() == [2.0]
    assert guided[1].unique().tolist() == [5.0]


@pytest.mark.parametrize("skip", [1, 4])
def test_draws_stay_on_the_grid_and_within_the_guidance(skip):
    d = draw(gaussian.examples(4000), DistillationConfig(100, skip, w_min=2.0, w_max=5.0), seed=0, number=3)
    assert sorted(set(d.timesteps.tolist())) == list(range(9, 1000, 10))
    assert torch.equal(d.next_timesteps, (d.timesteps - 10 * skip).clamp(min=0))
    assert 2 <= d.w.min() < 2.05 and 4.95 < d.w.max() <= 5
    again, other = (draw(gaussian.examples(4000), DistillationConfig(100), 0, number) for number in (3, 4))
    assert torch.equal(again.noise, d.noise)
    assert not torch.equal(other.noise, d.noise)


def test_a_share_of_timesteps_is_drawn_where_the_noise_is_strong():
    d = draw(gaussian.examples(20_000), DistillationConfig(100, strong_noise=0.4), seed=0, number=0)
    assert set(d.timesteps.tolist()) <= set(range(9, 1000, 10))
    for upper in (0.5, 0.9):
        share = (d.timesteps < upper * 1000).float().mean()
        torch.testing.assert_close(share.item(), 0.4 * upper**6 + 0.6 * upper, rtol=0.02, atol=0)


def test_a_share_of_examples_is_hidden_at_the_last_timestep():
    """As a sampler begins. The others stay what they are without it."""
    examples = gaussian.examples(20_000)
    plain, d = (draw(examples, DistillationConfig(100, pure_noise=share), seed=0, number=0) for share in (0.0, 0.3))
    hidden = (d.x0 == 0).flatten(1).all(1)
    torch.testing.assert_close(hidden.float().mean().item(), 0.3, rtol=0.05, atol=0)
    assert d.timesteps[hidden].unique().tolist() == [999] and d.next_timesteps[hidden].unique().tolist() == [989]
    for name in ("x0", "noise", "timesteps", "next_timesteps", "w"):
        assert torch.equal(getattr(d, name)[~hidden], getattr(plain, name)[~hidden]), name
    assert torch.equal(plain.x0, examples.latents)


def test_nothing_is_hidden_where_no_teacher_says_what_becomes_of_noise():
    config = PRESETS["tiny"]["adapt"]
    with pytest.raises(ValueError, match="pure_noise is 0.3; expected 0 in the stage adapt"):
        replace(config, distillation=replace(config.distillation, pure_noise=0.3))


def test_the_pseudo_huber_distance_is_the_papers():
    a, b = torch.randn(1000, dtype=torch.float64), torch.randn(1000, dtype=torch.float64)
    expected = (((a - b) ** 2 + 0.3**2).sqrt() - 0.3).mean()
    torch.testing.assert_close(pseudo_huber(a, b, 0.3).double(), expected, rtol=1e-6, atol=0)
    # Where the root would cancel in float32, the small distances remain.
    tiny = torch.full((1,), 1e-6)
    torch.testing.assert_close(pseudo_huber(tiny, 0 * tiny, 1e-3), torch.tensor(5e-10), rtol=1e-4, atol=0)

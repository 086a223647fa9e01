"""Phased consistency, where the truth is known in closed form; without phases the paper's loss, as it always was."""

from dataclasses import replace

import pytest
import torch
from animatelcm.samplers.consistency import boundary_scalings
from animatelcm.samplers.lcm import sample_lcm
from animatelcm.samplers.schedules import SCHEDULES, Schedule, alphas_cumprod, grid, lcm_timesteps, phase_edges, sigmas
from animatelcm.tests.training import gaussian, toys
from animatelcm.tests.training.gaussian import DIFFUSION, EMPTY
from animatelcm.training.config import DistillationConfig
from animatelcm.training.consistency import column, phased_function
from animatelcm.training.draws import draw, lower_edges
from animatelcm.training.losses import distillation_loss, teacher_free_loss
from animatelcm.training.sampling import sample
from animatelcm.training.stages import adaptation_stage, image_stage, motion_stage, network
from torch import nn

PHASES = (2, 4, 8)


def config_of(phases, original_steps=100, **changes):
    return DistillationConfig(original_steps, phases=phases, **changes)


def drawn(phases, original_steps=100, count=64, number=0, **changes):
    return draw(gaussian.examples(count), config_of(phases, original_steps, **changes), seed=0, number=number)


def exact(phases, original_steps):
    """Return the network whose phased function follows the probability flow to the edge, as the exact one does.

    F = sqrt(a_s) x0 + sqrt(1 - a_s) eps with z = sqrt(a) x0 + sqrt(1 - a) eps are two equations for x0 and eps.
    """
    def predict(z, timesteps, context):
        edges = lower_edges(timesteps, original_steps, phases)
        aim, z = gaussian.along_the_flow(z, timesteps, edges), z.double()
        a, b = (DIFFUSION.alpha(t, z).double() for t in (timesteps, edges))
        share = (b / a).sqrt()
        # At an edge the network has no say in a jump from there; any number does.
        return (aim - share * z) / ((1 - b).sqrt() - share * (1 - a).sqrt()).clamp(max=-1e-12)
    return predict


# The paper's, as the code was: any other order of the operations would show in the last bits.

def papers_draw(examples, config, seed, number):
    count, spacing = len(examples.latents), 1000 // config.original_steps
    generator = torch.Generator().manual_seed((seed * 10_000_019 + number) % 2**63)
    even = torch.randint(1, config.original_steps + 1, (count,), generator=generator)
    w = config.w_min + (config.w_max - config.w_min) * torch.rand(count, generator=generator)
    noise = torch.randn(examples.latents.shape, generator=generator)
    strength, chance, alone = torch.rand(3, count, generator=generator, dtype=torch.float64)
    strong = (strength ** (1 / 6) * config.original_steps).ceil().clamp(min=1).long()
    index = torch.where(chance < config.strong_noise, strong, even)
    index = torch.where(alone < config.pure_noise, config.original_steps, index)
    shown = (alone >= config.pure_noise).view(-1, *[1] * (examples.latents.ndim - 1)).to(examples.latents)
    timesteps = index * spacing - 1
    return examples.latents * shown, noise.to(examples.latents), w, timesteps, (
        timesteps - config.skip * spacing).clamp(min=0)


def papers_loss(setting, student, target, teacher, number):
    """The paper's loss of a batch; `teacher` None: without one."""
    examples, how, diffusion = setting.source(number), setting.config.distillation, setting.diffusion
    x0, noise, w, t, t_next = papers_draw(examples, how, setting.config.seed, number)
    context = examples.context

    def noised(x0, noise, timesteps):
        alpha = column(diffusion.alphas_cumprod[timesteps].float(), x0)
        return alpha.sqrt() * x0 + (1 - alpha).sqrt() * noise

    def f(net, z, timesteps):
        clean, _ = diffusion.x0_and_eps(net(z, timesteps, context), z, timesteps)
        c_skip, c_out = (column(c, z) for c in boundary_scalings(timesteps))
        return c_skip * z + c_out * clean

    z = noised(x0, noise, t)
    with torch.no_grad():
        if teacher is None:
            z_next = noised(x0, noise, t_next)
        else:
            said = teacher(z, t, context).float()
            unsaid = teacher(z, t, setting.empty.expand(len(z), *setting.empty.shape[1:])).float()
            z_next = noised(*diffusion.x0_and_eps(said + column(w, z) * (said - unsaid), z, t), t_next)
        aim = f(target, z_next, t_next)
    apart, h = f(student, z, t).float() - aim.float(), how.huber
    return (apart.square() / ((apart.square() + h * h).sqrt() + h)).mean()


@pytest.mark.parametrize("changes", [{}, {"skip": 4, "strong_noise": 0.5, "pure_noise": 0.4}])
@pytest.mark.parametrize("name", ["image", "motion", "adapt"])
def test_without_phases_the_loss_and_its_gradients_are_the_papers_bit_for_bit(name, changes):
    if name == "adapt":
        changes = {key: value for key, value in changes.items() if key != "pure_noise"}
    setting = toys.setting(name, **changes)
    make = {"image": image_stage, "motion": motion_stage,
            "adapt": lambda given: adaptation_stage(given, ("motion.",))}[name]
    stage = make(setting)
    # A target that is not the student.
    for weight in stage.average.values():
        weight.mul_(0.9)
    for number in range(6):
        loss = stage.loss(number)
        loss.backward()
        gradients = [p.grad.clone() for p in stage.parameters.values()]
        networks = (network(setting.model, weights, {}) for weights in ({}, stage.average, stage.teacher))
        student, target, teacher = networks
        for parameter in stage.parameters.values():
            parameter.grad = None
        expected = papers_loss(setting, student, target, None if name == "adapt" else teacher, number)
        expected.backward()
        assert torch.equal(loss, expected)
        assert all(torch.equal(p.grad, g) for p, g in zip(stage.parameters.values(), gradients, strict=True))
        for parameter in stage.parameters.values():
            parameter.grad = None


# The phases.

@pytest.mark.parametrize("original_steps", [50, 100, 200])
@pytest.mark.parametrize("phases", [1, *PHASES, 7])
def test_a_run_of_as_many_steps_goes_from_edge_to_edge(phases, original_steps):
    edges = phase_edges(original_steps, phases)
    assert edges == sorted(set(edges)) and len(edges) == phases and edges[0] == 0
    assert [999, *reversed(edges[1:])] == lcm_timesteps(original_steps, phases)
    assert phase_edges(100, 4) == [0, 249, 499, 749]


def test_every_timestep_is_above_its_edge_and_jumps_stay_in_their_phase():
    for phases in (1, *PHASES):
        d = drawn(phases, count=400, skip=20)
        edges, lower = phase_edges(100, phases), lower_edges(d.timesteps, 100, phases)
        for timestep, edge, following in torch.stack([d.timesteps, lower, d.next_timesteps], 1).tolist():
            assert edge == max(each for each in edges if each < timestep)
            assert following == max(timestep - 200, edge)
        assert set(lower.tolist()) == set(edges) and (d.edges is None) == (phases == 1)


@pytest.mark.parametrize("phases", PHASES)
def test_the_exact_phased_function_has_no_loss(phases):
    d = drawn(phases, 1000)
    perfect = exact(phases, 1000)
    loss = distillation_loss(perfect, perfect, gaussian.teacher, d, EMPTY, DIFFUSION, 1e-3)
    # The denoiser is what the flow begins with, and the function of other phases goes elsewhere.
    others = [distillation_loss(other, other, gaussian.teacher, d, EMPTY, DIFFUSION, 1e-3)
              for other in (gaussian.teacher, exact(2 * phases, 1000))]
    assert loss < 1e-7
    assert others[0] > 1000 * loss and others[1] > 100 * loss
    alone = teacher_free_loss(perfect, perfect, drawn(phases, 1000), DIFFUSION, 1e-3)
    assert alone > loss, "noise is no flow but where all data are one point"


@pytest.mark.parametrize("phases", PHASES)
def test_from_edge_to_edge_the_exact_function_follows_the_flow_to_its_end(phases):
    """Also as the sampler does it, in the scale of the host, and by the host's own noise levels."""
    z = torch.randn(4, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    steps = lcm_timesteps(100, phases)
    net, seen = exact(phases, 100), []

    def denoise(x, sigma):
        timestep = grid(schedule)[(levels - sigma[0]).abs().argmin()].expand(len(x))
        seen.append(int(timestep[0]))
        z = x / (1 + sigma[0].double()**2).sqrt()
        visited.append(z)
        x0, _ = DIFFUSION.x0_and_eps(net(z, timestep, None), z, timestep)
        return x0

    schedule = Schedule("linear", 0.00085, 0.012, original_steps=100, phases=phases)
    levels, visited = sigmas(schedule)[grid(schedule)], []
    run = torch.cat([sigmas(schedule)[steps], torch.zeros(1)])
    sample_lcm(denoise, z * (1 + run[0].double()**2).sqrt(), run, gamma=0.0)
    assert seen == steps == [999, *reversed(phase_edges(100, phases)[1:])]
    at = z
    for timestep, edge, met in zip(steps, reversed(phase_edges(100, phases)), visited, strict=True):
        torch.testing.assert_close(met, at, rtol=0, atol=1e-4)
        here, there = (torch.full((4,), value) for value in (timestep, edge))
        jumped = phased_function(net, at, here, there, None, DIFFUSION)
        at = gaussian.along_the_flow(at, here, there)
        torch.testing.assert_close(jumped.double(), at, rtol=0, atol=1e-4)
    whole = gaussian.along_the_flow(z, torch.full((4,), 999), torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(at, whole, rtol=0, atol=1e-4)


def test_a_jump_of_no_length_is_the_identity_and_the_student_has_no_c_skip():
    z = torch.randn(2, 4, 5, 5)
    at = torch.tensor([0, 499])
    assert torch.equal(phased_function(lambda z, t, c: 100 * z, z, at, at, None, DIFFUSION), z)
    # To x0 alone, near timestep 0: the paper's function would keep most of z there.
    small, edge = torch.tensor([1]), torch.tensor([0])
    jumped = phased_function(lambda z, t, c: z * 0 + 1, z[:1], small, edge, None, DIFFUSION)
    a, b = (DIFFUSION.alpha(t, z) for t in (small, edge))
    expected = b.sqrt() * (z[:1] - (1 - a).sqrt()) / a.sqrt() + (1 - b).sqrt()
    torch.testing.assert_close(jumped, expected, rtol=1e-6, atol=1e-6)


def test_previews_are_sampled_from_edge_to_edge_without_fresh_noise():
    asked = []

    def net(z, timesteps, context):
        asked.append(int(timesteps[0]))
        return exact(8, 100)(z, timesteps, context).float()

    made = sample(net, DIFFUSION, (4, 4, 5, 5), torch.zeros(4, 2, 3), 100, steps=4, seed=3, phases=8)
    assert asked == [999, 879, 749, 629, 499, 379, 249, 129]
    noise = torch.randn(4, 4, 5, 5, generator=torch.Generator().manual_seed(3))
    z = noise * (1 - DIFFUSION.alphas_cumprod[999]).sqrt().float()
    first = torch.zeros(4, dtype=torch.int64)
    torch.testing.assert_close(made.double(), gaussian.along_the_flow(z, first + 999, first), rtol=0, atol=0.05)


# What else a phased training changes.

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 5)

    def forward(self, z, timesteps, context):
        return self.layer(z.float())


@pytest.mark.parametrize("teacher_free", [False, True])
def test_gradients_reach_the_student_alone(teacher_free):
    student, target, teacher, d = Net(), Net(), Net(), drawn(4)
    loss = (teacher_free_loss(student, target, d, DIFFUSION, 1e-3) if teacher_free else
            distillation_loss(student, target, teacher, d, EMPTY, DIFFUSION, 1e-3))
    loss.backward()
    assert student.layer.weight.grad.abs().sum() > 0
    assert all(p.grad is None for net in (target, teacher) for p in net.parameters())


def test_without_guidance_the_teacher_is_asked_once_and_for_what_it_says():
    calls = []

    def teacher(z, timesteps, context):
        calls.append(context)
        return gaussian.teacher(z, timesteps, context)

    plain = drawn(4, w_min=0.0, w_max=0.0)
    assert plain.w is None
    with_zero = replace(plain, w=torch.zeros(64))
    losses = [distillation_loss(gaussian.teacher, exact(4, 100), teacher, d, EMPTY, DIFFUSION, 1e-3)
              for d in (plain, with_zero)]
    assert len(calls) == 1 + 2 and torch.equal(*losses)


def test_a_share_of_captions_is_left_out_and_all_else_stays():
    examples = gaussian.examples(20_000)
    examples = replace(examples, context=torch.ones(20_000, 4, 3))
    empty = torch.arange(6.0).view(1, 2, 3)
    plain, d = (draw(examples, DistillationConfig(100, empty_captions=share), 0, 0, empty) for share in (0.0, 0.1))
    assert plain.context is examples.context
    out = (d.context != 1).flatten(1).any(1)
    torch.testing.assert_close(out.float().mean().item(), 0.1, rtol=0.1, atol=0)
    # A caption of four words, and the empty one of two, which is said twice.
    assert torch.equal(d.context[out], empty.repeat(1, 2, 1).expand(int(out.sum()), -1, -1))
    for name in ("x0", "noise", "timesteps", "next_timesteps", "w"):
        assert torch.equal(getattr(d, name), getattr(plain, name)), name
    with pytest.raises(ValueError, match="the context of the empty one is not given"):
        draw(examples, DistillationConfig(100, empty_captions=0.1), 0, 0)


def test_the_skip_shrinks_by_the_batch_alone():
    config = DistillationConfig(100, skip=2, skip_start=16, skip_every=10)
    assert [config.skip_at(number) for number in (0, 9, 10, 20, 30, 40, 10**9)] == [16, 16, 8, 4, 2, 2, 2]
    gaps = drawn(1, skip=2, skip_start=16, skip_every=10, count=500, number=10)
    assert torch.equal(gaps.next_timesteps, (gaps.timesteps - 80).clamp(min=0))
    assert DistillationConfig(100, skip=3).skip_at(10**6) == 3


@pytest.mark.parametrize(("changes", "said"), [
    ({"phases": 0}, "phases is 0; expected 1 to 100"), ({"phases": 101}, "phases is 101; expected 1 to 100"),
    ({"target": "both"}, "target is 'both'; expected one of average, student"),
    ({"empty_captions": 1.5}, "empty_captions is 1.5; expected 0 to 1"),
    ({"own_samples": -0.1}, "own_samples is -0.1; expected 0 to 1"),
    ({"motion_weight": -1.0}, "motion_weight is -1.0; expected at least 0"),
    ({"skip_every": 0}, "skip_every is 0; expected at least 1"),
    ({"skip": 4, "skip_start": 2}, "skip_start is 2; expected 0, or skip to original_steps, 4 to 100"),
])
def test_what_cannot_be_is_named(changes, said):
    with pytest.raises(ValueError, match=said):
        DistillationConfig(100, **changes)


def test_a_schedule_has_no_more_phases_than_timesteps():
    with pytest.raises(ValueError, match="phases is 51; expected 1"):
        replace(SCHEDULES["LCM"], phases=51)
    assert torch.equal(alphas_cumprod(replace(SCHEDULES["LCM"], phases=4)), alphas_cumprod(SCHEDULES["LCM"]))

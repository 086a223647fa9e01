"""Schedules inside the host: noise levels, timesteps, and what stays as it was."""

import comfy.model_sampling
import comfy.samplers
import pytest
import torch
from animatelcm.host.sampling import ScheduleSampling, model_sampling_for, scheduled_sigmas
from animatelcm.nodes.sampling import Sampler, Scheduler
from animatelcm.samplers.schedules import SCHEDULES, grid, lcm_timesteps, sigmas
from animatelcm.tests.host.sampling_routes import (
    SHAPE,
    TEXT_TO_VIDEO,
    advanced,
    host_sampling,
    ksampler,
    patched,
    v_model,
    with_sampling,
)
from animatelcm.tests.support import record_calls
from comfy_extras.nodes_custom_sampler import BasicScheduler

SCHEDULE = SCHEDULES[TEXT_TO_VIDEO]


@pytest.fixture(scope="module")
def base():
    return v_model()


@pytest.fixture
def model(base):
    return patched(base)


# The schedule as the host sees it.

@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_levels_are_the_schedules(base, name):
    sampling = model_sampling_for(base, SCHEDULES[name])
    timesteps = grid(SCHEDULES[name])
    assert torch.equal(sampling.sigmas, sigmas(SCHEDULES[name])[timesteps])
    assert torch.equal(sampling.timestep(sampling.sigmas), timesteps)
    torch.testing.assert_close(sampling.sigma(timesteps), sampling.sigmas, rtol=1e-5, atol=0)


def test_percent_runs_from_the_noisiest_timestep_to_the_least(base):
    sampling = model_sampling_for(base, SCHEDULE)
    assert sampling.percent_to_sigma(1e-9) == pytest.approx(sampling.sigma_max.item())
    assert sampling.percent_to_sigma(0.5) == pytest.approx(sampling.sigma(torch.tensor(499.5)).item())
    assert sampling.percent_to_sigma(0.999) == pytest.approx(sampling.sigma_min.item())


@pytest.mark.parametrize("prediction", ["EPS", "V_PREDICTION", "X0"])
def test_without_a_grid_it_is_the_hosts_own_class_bit_for_bit(base, prediction):
    classes = comfy.model_sampling.ModelSamplingDiscrete, getattr(comfy.model_sampling, prediction)
    stock = host_sampling(*classes, beta_schedule="sqrt_linear")
    ours = model_sampling_for(with_sampling(base, *classes), SCHEDULES["AnimateDiff"])
    x, output, sigma = torch.randn(SHAPE), torch.randn(SHAPE), torch.tensor([20.0, 0.7])
    assert torch.equal(ours.sigmas, stock.sigmas) and torch.equal(ours.log_sigmas, stock.log_sigmas)
    assert torch.equal(ours.calculate_denoised(sigma, output, x), stock.calculate_denoised(sigma, output, x))
    assert torch.equal(ours.timestep(sigma), stock.timestep(sigma))


def test_the_base_model_keeps_its_own_object(base):
    before, table = base.get_model_object("model_sampling"), base.model.model_sampling.sigmas.clone()
    model = patched(base)
    ksampler(model, steps=1)
    base_result = ksampler(base, steps=1)
    assert base.get_model_object("model_sampling") is before is base.model.model_sampling
    assert torch.equal(before.sigmas, table)
    ours = model.get_model_object("model_sampling")
    assert model.clone().get_model_object("model_sampling") is ours and ours.schedule == SCHEDULE
    assert torch.equal(ksampler(base, steps=1), base_result)


def test_a_schedule_can_replace_a_schedule(base):
    again = model_sampling_for(patched(base, "LCM"), SCHEDULE)
    assert type(again) is type(model_sampling_for(base, SCHEDULE)) and len(again.sigmas) == 100


@pytest.mark.parametrize("prediction", ["EPS", "V_PREDICTION", "X0"])
def test_the_prediction_stays_the_models(base, prediction):
    kind = getattr(comfy.model_sampling, prediction)
    model = with_sampling(base, comfy.model_sampling.ModelSamplingDiscrete, kind)
    sampling = model_sampling_for(model, SCHEDULE)
    assert isinstance(sampling, ScheduleSampling) and isinstance(sampling, kind)


def test_zero_terminal_snr_stays_the_models(base):
    model = with_sampling(
        base, comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.V_PREDICTION, zsnr=True)
    sampling = model_sampling_for(model, SCHEDULE)
    assert sampling.sigma_max > 4000 and len(sampling.sigmas) == 100
    assert not model_sampling_for(base, SCHEDULE).zsnr
    assert ksampler(patched(model), steps=2).isfinite().all()


@pytest.mark.parametrize("table, prediction", [
    ("ModelSamplingDiscreteFlow", "CONST"), ("ModelSamplingContinuousEDM", "EDM"),
    ("ModelSamplingContinuousEDM", "V_PREDICTION"), ("ModelSamplingDiscreteEDM", "EPS"),
    ("ModelSamplingDiscrete", "IMG_TO_IMG"),
])
def test_a_foreign_kind_of_model_is_named(base, table, prediction):
    model = with_sampling(base, getattr(comfy.model_sampling, table), getattr(comfy.model_sampling, prediction))
    with pytest.raises(ValueError, match=f"{table} with {prediction}.*Stable Diffusion 1.5 model"):
        model_sampling_for(model, SCHEDULE)


# The exact timesteps.

@pytest.mark.parametrize("name", SCHEDULES)
def test_scheduler_equals_the_stock_simple_scheduler(base, name):
    """At every count the grid has timesteps for; the stock one repeats timesteps beyond that."""
    model = patched(base, name)
    sampling = model.get_model_object("model_sampling")
    for steps in range(1, min(len(sampling.sigmas), 200) + 1):
        assert torch.equal(scheduled_sigmas(model, steps)[0], comfy.samplers.simple_scheduler(sampling, steps))


@pytest.mark.parametrize("denoise", [0.0, 0.3, 0.5, 0.6, 0.8, 0.9, 1.0])
def test_denoise_equals_the_stock_one(model, denoise):
    for steps in (1, 2, 4, 5, 8, 10):
        stock = BasicScheduler.execute(model, "simple", steps, denoise)[0]
        assert torch.equal(Scheduler.execute(model, steps, denoise)[0], stock)


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 8, 10])
def test_timesteps_are_the_tables(model, steps):
    table, timesteps = scheduled_sigmas(model, steps)
    assert timesteps == lcm_timesteps(100, steps)
    assert table[-1] == 0 and table.dtype == torch.float32 and table.shape == (steps + 1,)


def test_a_model_that_is_not_distilled_gets_evenly_spaced_timesteps(base):
    assert scheduled_sigmas(base, 4)[1] == [999, 749, 499, 249]
    assert scheduled_sigmas(base, 3)[1] == [999, 666, 333]


def test_more_steps_than_the_grid_has_are_refused(base):
    with pytest.raises(ValueError, match="has only 50 timesteps"):
        Scheduler.execute(patched(base, "LCM"), 50, 0.9)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
@pytest.mark.parametrize("route", [ksampler, advanced])
def test_the_unet_receives_the_timesteps_of_the_table(model, route, steps):
    calls = record_calls(model)
    route(model, steps)
    assert calls == [(SHAPE, [timestep] * SHAPE[0]) for timestep in lcm_timesteps(100, steps)]


def test_sgm_uniform_stays_on_the_grid(model):
    calls = record_calls(model)
    ksampler(model, 4, scheduler="sgm_uniform")
    seen = [timesteps[0] for _, timesteps in calls]
    assert set(seen) <= set(grid(SCHEDULE).tolist()) and seen[0] == 999


# The nodes.

@pytest.mark.parametrize("node, inputs", [
    (Scheduler, ["model", "steps", "denoise"]),
    (Sampler, ["stochasticity", "stochasticity_curve", "stochasticity_values", "auto"]),
])
def test_sockets_are_as_documented(node, inputs):
    schema = node.define_schema()
    assert schema.node_id == f"AnimateLCM_{node.__name__}"
    assert [socket.id for socket in schema.inputs] == inputs
    assert all(socket.tooltip for socket in [*schema.inputs, *schema.outputs])

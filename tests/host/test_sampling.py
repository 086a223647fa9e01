"""Schedules and sampler inside the host: every route to the same video, and to diffusers' numbers."""

import copy

import comfy.model_sampling
import comfy.sample
import comfy.samplers
import pytest
import torch
from animatelcm.demo.vocabulary import CONTEXT_DIM, MAX_TOKENS
from animatelcm.host.sampling import ScheduleSampling, lcm_sampler, model_sampling_for, scheduled_sigmas
from animatelcm.host.tiny import load_model, new_unet
from animatelcm.nodes.sampling import Sampler, Scheduler
from animatelcm.samplers.schedules import SCHEDULES, grid, lcm_timesteps, sigmas
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_custom_sampler import (
    BasicGuider,
    BasicScheduler,
    CFGGuider,
    RandomNoise,
    SamplerCustom,
    SamplerCustomAdvanced,
)
from diffusers import LCMScheduler

TEXT_TO_VIDEO = SCHEDULES["AnimateLCM text-to-video"]
SHAPE = (2, 4, 8, 8)
SEED = 7


@pytest.fixture(scope="module")
def base():
    """The tiny SD1.5 MODEL with random weights; it predicts v."""
    unet = new_unet(0)
    torch.manual_seed(1)
    torch.nn.init.normal_(unet.out[2].weight, std=0.05)
    return load_model(unet.state_dict())


@pytest.fixture
def model(base):
    return patched(base, "AnimateLCM text-to-video")


def patched(model, name: str):
    clone = model.clone()
    clone.add_object_patch("model_sampling", model_sampling_for(model, SCHEDULES[name]))
    return clone


def host_sampling(*classes, **settings):
    """A model_sampling object as the host makes them."""
    kind = type("ModelSampling", classes, {})
    config = type("Config", (), {"sampling_settings": settings})
    return kind(config())


def with_sampling(model, *classes, **settings):
    clone = model.clone()
    clone.add_object_patch("model_sampling", host_sampling(*classes, **settings))
    return clone


def with_network(model, network):
    """A clone whose UNet is `network(z, timesteps)`."""
    clone = model.clone()
    clone.add_wrapper(WrappersMP.DIFFUSION_MODEL, lambda executor, x, timesteps, *args, **kwargs: network(x, timesteps))
    return clone


def recording(model):
    """A clone, and the timesteps that its UNet receives, call by call."""
    seen, clone = [], model.clone()

    def wrapper(executor, x, timesteps, *args, **kwargs):
        assert (timesteps == timesteps[0]).all()
        seen.append(timesteps[0].item())
        return executor(x, timesteps, *args, **kwargs)

    clone.add_wrapper(WrappersMP.DIFFUSION_MODEL, wrapper)
    return clone, seen


def prompt(value: float = 0.5) -> list:
    return [[torch.full((1, MAX_TOKENS, CONTEXT_DIM), value), {}]]


def video(mask: bool = False) -> dict:
    latent = {"samples": torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))}
    return latent | ({"noise_mask": (torch.arange(8) > 3).float().expand(1, 1, 8, 8)} if mask else {})


def ksampler(model, steps=4, sampler="lcm", scheduler="simple", denoise=1.0, cfg=1.0, latent=None):
    """What the stock KSampler node does."""
    latent = latent or {"samples": torch.zeros(SHAPE)}
    samples = latent["samples"]
    noise = comfy.sample.prepare_noise(samples, SEED)
    return comfy.sample.sample(
        model, noise, steps, cfg, sampler, scheduler, prompt(), prompt(-0.5), samples, denoise=denoise,
        noise_mask=latent.get("noise_mask"), disable_pbar=True, seed=SEED)


def advanced(model, steps=4, sampler=None, denoise=1.0, cfg=1.0, latent=None):
    """SamplerCustomAdvanced with our scheduler and our sampler."""
    guider = BasicGuider.execute(model, prompt())[0] if cfg == 1 else CFGGuider.execute(
        model, prompt(), prompt(-0.5), cfg)[0]
    sampler = sampler or Sampler.execute(1.0)[0]
    out = SamplerCustomAdvanced.execute(
        RandomNoise.execute(SEED)[0], guider, sampler, Scheduler.execute(model, steps, denoise)[0],
        latent or {"samples": torch.zeros(SHAPE)})
    return out[0]["samples"]


# The schedule as the host sees it.

@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_levels_are_the_schedules(base, name):
    sampling = model_sampling_for(base, SCHEDULES[name])
    timesteps = grid(SCHEDULES[name])
    assert torch.equal(sampling.sigmas, sigmas(SCHEDULES[name])[timesteps])
    assert torch.equal(sampling.timestep(sampling.sigmas), timesteps)
    torch.testing.assert_close(sampling.sigma(timesteps), sampling.sigmas, rtol=1e-5, atol=0)


def test_percent_runs_from_the_noisiest_timestep_to_the_least(base):
    sampling = model_sampling_for(base, TEXT_TO_VIDEO)
    assert sampling.percent_to_sigma(1e-9) == pytest.approx(sampling.sigma_max.item())
    assert sampling.percent_to_sigma(0.5) == pytest.approx(sampling.sigma(torch.tensor(499.5)).item())
    assert sampling.percent_to_sigma(0.999) == pytest.approx(sampling.sigma_min.item())


def test_without_a_grid_it_is_the_hosts_own_class_bit_for_bit(base):
    stock = host_sampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.V_PREDICTION,
                          beta_schedule="sqrt_linear")
    ours = model_sampling_for(base, SCHEDULES["AnimateDiff"])
    x, output, sigma = torch.randn(SHAPE), torch.randn(SHAPE), torch.tensor([20.0, 0.7])
    assert torch.equal(ours.sigmas, stock.sigmas) and torch.equal(ours.log_sigmas, stock.log_sigmas)
    assert torch.equal(ours.calculate_denoised(sigma, output, x), stock.calculate_denoised(sigma, output, x))
    assert torch.equal(ours.timestep(sigma), stock.timestep(sigma))


def test_the_base_model_keeps_its_own_object(base):
    before, table = base.get_model_object("model_sampling"), copy.deepcopy(base.model.model_sampling.sigmas)
    model = patched(base, "AnimateLCM text-to-video")
    ksampler(model, steps=1)
    base_result = ksampler(base, steps=1)
    assert base.get_model_object("model_sampling") is before is base.model.model_sampling
    assert torch.equal(before.sigmas, table)
    ours = model.get_model_object("model_sampling")
    assert model.clone().get_model_object("model_sampling") is ours and ours.schedule == TEXT_TO_VIDEO
    assert torch.equal(ksampler(base, steps=1), base_result)


def test_a_schedule_can_replace_a_schedule(base):
    again = model_sampling_for(patched(base, "LCM"), TEXT_TO_VIDEO)
    assert type(again) is type(model_sampling_for(base, TEXT_TO_VIDEO)) and len(again.sigmas) == 100


@pytest.mark.parametrize("prediction", ["EPS", "V_PREDICTION", "X0"])
def test_the_prediction_stays_the_models(base, prediction):
    kind = getattr(comfy.model_sampling, prediction)
    model = with_sampling(base, comfy.model_sampling.ModelSamplingDiscrete, kind)
    assert isinstance(model_sampling_for(model, TEXT_TO_VIDEO), (ScheduleSampling, kind))


def test_zero_terminal_snr_stays_the_models(base):
    model = with_sampling(
        base, comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.V_PREDICTION, zsnr=True)
    sampling = model_sampling_for(model, TEXT_TO_VIDEO)
    assert sampling.sigma_max > 4000 and len(sampling.sigmas) == 100
    assert not model_sampling_for(base, TEXT_TO_VIDEO).zsnr
    assert ksampler(patched(model, "AnimateLCM text-to-video"), steps=2).isfinite().all()


@pytest.mark.parametrize("table, prediction", [
    ("ModelSamplingDiscreteFlow", "CONST"), ("ModelSamplingContinuousEDM", "EDM"),
    ("ModelSamplingContinuousEDM", "V_PREDICTION"), ("ModelSamplingDiscreteEDM", "EPS"),
    ("ModelSamplingDiscrete", "IMG_TO_IMG"),
])
def test_a_foreign_kind_of_model_is_named(base, table, prediction):
    model = with_sampling(base, getattr(comfy.model_sampling, table), getattr(comfy.model_sampling, prediction))
    with pytest.raises(ValueError, match=f"{table} with {prediction}.*Stable Diffusion 1.5 model"):
        model_sampling_for(model, TEXT_TO_VIDEO)


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
    clone, seen = recording(model)
    route(clone, steps)
    assert seen == lcm_timesteps(100, steps)


def test_sgm_uniform_stays_on_the_grid(model):
    clone, seen = recording(model)
    ksampler(clone, 4, scheduler="sgm_uniform")
    assert set(seen) <= set(grid(TEXT_TO_VIDEO).tolist()) and seen[0] == 999


# One result by every route.

@pytest.mark.parametrize("settings", [
    {}, {"steps": 1}, {"steps": 8}, {"cfg": 1.5}, {"denoise": 0.5, "latent": video()},
    {"denoise": 0.6, "latent": video()}, {"latent": video(mask=True)}, {"denoise": 0.6, "latent": video(mask=True)},
])
def test_every_route_gives_the_same_result(model, settings):
    expected = ksampler(model, **settings)
    assert expected.isfinite().all()
    assert torch.equal(advanced(model, **settings), expected)
    assert torch.equal(advanced(model, **settings, sampler=comfy.samplers.sampler_object("lcm")), expected)
    latent = settings.get("latent") or {"samples": torch.zeros(SHAPE)}
    table = BasicScheduler.execute(model, "simple", settings.get("steps", 4), settings.get("denoise", 1.0))[0]
    custom = SamplerCustom.execute(
        model, True, SEED, settings.get("cfg", 1.0), prompt(), prompt(-0.5), Sampler.execute(1.0)[0], table, latent)
    assert torch.equal(custom[0]["samples"], expected)


def test_what_the_mask_keeps_is_kept(model):
    latent = video(mask=True)
    out = advanced(model, latent=latent)
    kept = latent["noise_mask"].expand(SHAPE) == 0
    torch.testing.assert_close(out[kept], latent["samples"][kept])
    assert not torch.isclose(out[~kept], latent["samples"][~kept]).any(-1).all()


def test_without_stochasticity_it_is_the_straight_line_of_euler(model):
    deterministic = advanced(model, sampler=lcm_sampler(0.0))
    torch.testing.assert_close(deterministic, ksampler(model, sampler="euler"), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(deterministic, ksampler(model), atol=0.01)


def test_frames_do_not_share_noise(model):
    """Each frame gets its own noise at each step, as each image of a batch does."""
    flat = with_network(model, lambda z, timesteps: torch.tanh(z))
    out = ksampler(flat)
    assert not torch.allclose(out[0], out[1], atol=0.1)


def test_a_flow_model_is_refused_by_the_sampler(base):
    flow = with_sampling(base, comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST)
    with pytest.raises(ValueError, match="ModelSamplingDiscreteFlow with CONST"):
        SamplerCustom.execute(flow, True, SEED, 1.0, prompt(), prompt(), Sampler.execute(1.0)[0],
                              torch.tensor([1.0, 0.0]), {"samples": torch.zeros(SHAPE)})


# Numbers from elsewhere.

def denoiser(z: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """The clean latent that a made-up network sees in z, whichever way it says so."""
    return torch.tanh(z * alpha.sqrt() + 0.2)


@pytest.mark.parametrize("name", ["AnimateLCM text-to-video", "AnimateDiff"])
def test_networks_that_predict_eps_v_and_x0_give_the_same_samples(base, name):
    a = 1 / (1 + sigmas(SCHEDULES[name]) ** 2)

    def eps(z, timesteps):
        alpha = a[timesteps.long()].view(-1, 1, 1, 1)
        return (z - alpha.sqrt() * denoiser(z, alpha)) / (1 - alpha).sqrt()

    def v(z, timesteps):
        alpha = a[timesteps.long()].view(-1, 1, 1, 1)
        return alpha.sqrt() * eps(z, timesteps) - (1 - alpha).sqrt() * denoiser(z, alpha)

    def x0(z, timesteps):
        return denoiser(z, a[timesteps.long()].view(-1, 1, 1, 1))

    discrete = comfy.model_sampling.ModelSamplingDiscrete
    networks = {comfy.model_sampling.EPS: eps, comfy.model_sampling.V_PREDICTION: v, comfy.model_sampling.X0: x0}
    results = [ksampler(with_network(patched(with_sampling(base, discrete, kind), name), network))
               for kind, network in networks.items()]
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(results[2], results[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_equal_to_diffusers_with_the_same_network_and_noise(base, steps, prediction):
    kind = comfy.model_sampling.EPS if prediction == "epsilon" else comfy.model_sampling.V_PREDICTION
    model = patched(with_sampling(base, comfy.model_sampling.ModelSamplingDiscrete, kind), "AnimateLCM text-to-video")
    ours = ksampler(model, steps)

    scheduler = LCMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012, original_inference_steps=100,
                             prediction_type=prediction, clip_sample=False)
    scheduler.set_timesteps(steps)
    unet = base.model.diffusion_model
    # The host's samplers on a CPU draw from a generator one seed on.
    generator = torch.Generator().manual_seed(SEED + 1)
    z = comfy.sample.prepare_noise(torch.zeros(SHAPE), SEED)
    context = prompt()[0][0].expand(SHAPE[0], -1, -1)
    for timestep in scheduler.timesteps:
        with torch.no_grad():
            output = unet(z, timestep.float().expand(SHAPE[0]), context=context)
        z = scheduler.step(output, timestep, z, generator=generator).prev_sample
    z = base.get_model_object("latent_format").process_out(z)
    assert ((ours - z).norm() / z.norm()).item() < 1e-4


# The nodes.

@pytest.mark.parametrize("node, inputs", [
    (Scheduler, ["model", "steps", "denoise"]), (Sampler, ["stochasticity"]),
])
def test_sockets_are_as_documented(node, inputs):
    schema = node.define_schema()
    assert schema.node_id == f"AnimateLCM_{node.__name__}"
    assert [socket.id for socket in schema.inputs] == inputs
    assert all(socket.tooltip for socket in [*schema.inputs, *schema.outputs])

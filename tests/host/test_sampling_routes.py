"""The sampler inside the host: every route to the same video, and to diffusers' numbers."""

import comfy.model_sampling
import comfy.sample
import comfy.samplers
import pytest
import torch
from animatelcm.host.sampling import lcm_sampler
from animatelcm.nodes.sampling import Sampler
from animatelcm.samplers.schedules import SCHEDULES, sigmas
from animatelcm.tests.host.sampling_routes import (
    NEGATIVE,
    PROMPT,
    SEED,
    SHAPE,
    advanced,
    ksampler,
    patched,
    v_model,
    video,
    with_network,
    with_sampling,
)
from animatelcm.tests.support import relative_rms
from comfy_extras.nodes_custom_sampler import BasicScheduler, SamplerCustom
from diffusers import LCMScheduler


@pytest.fixture(scope="module")
def base():
    return v_model()


@pytest.fixture
def model(base):
    return patched(base)


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
        model, True, SEED, settings.get("cfg", 1.0), PROMPT, NEGATIVE, Sampler.execute(1.0)[0], table, latent)
    assert torch.equal(custom[0]["samples"], expected)


def test_what_the_mask_keeps_is_kept(model):
    latent = video(mask=True)
    out = advanced(model, latent=latent)
    kept = latent["noise_mask"].expand(SHAPE) == 0
    torch.testing.assert_close(out[kept], latent["samples"][kept])
    assert not torch.isclose(out[~kept], latent["samples"][~kept]).any(-1).all()


@pytest.mark.parametrize("listens", [False, True])
def test_it_runs_whether_or_not_anybody_listens(model, listens):
    """Hosts before 0.30 give the sampler no callback where the caller has none."""
    seen, sampler = [], lcm_sampler(1.0)
    function = sampler.sampler_function
    sampler.sampler_function = lambda *args, callback, **kwargs: function(
        *args, callback=seen.append if listens else None, **kwargs)
    assert torch.equal(advanced(model, sampler=sampler), ksampler(model))
    assert [state["i"] for state in seen] == (list(range(4)) if listens else [])


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
        SamplerCustom.execute(flow, True, SEED, 1.0, PROMPT, PROMPT, Sampler.execute(1.0)[0],
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
    model = patched(with_sampling(base, comfy.model_sampling.ModelSamplingDiscrete, kind))
    ours = ksampler(model, steps)

    scheduler = LCMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012, original_inference_steps=100,
                             prediction_type=prediction, clip_sample=False)
    scheduler.set_timesteps(steps)
    unet = base.model.diffusion_model
    # The host's samplers on a CPU draw from a generator one seed on.
    generator = torch.Generator().manual_seed(SEED + 1)
    z = comfy.sample.prepare_noise(torch.zeros(SHAPE), SEED)
    context = PROMPT[0][0].expand(SHAPE[0], -1, -1)
    for timestep in scheduler.timesteps:
        with torch.no_grad():
            output = unet(z, timestep.float().expand(SHAPE[0]), context=context)
        z = scheduler.step(output, timestep, z, generator=generator).prev_sample
    z = base.get_model_object("latent_format").process_out(z)
    assert relative_rms(ours, z) < 1e-5

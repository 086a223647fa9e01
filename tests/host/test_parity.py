"""Whole runs agree with diffusers, an independent implementation, on the same random weights and noise."""

import itertools

import pytest
from animatelcm.host.motion import apply_motion, load_motion
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tools.benchmarks import parity
from animatelcm.tools.benchmarks.parity import TOLERANCE
from animatelcm.tools.benchmarks.parity_cases import CFG, STEPS, TINY

TIMESTEPS = {1: (999,), 2: (999, 499), 4: (999, 749, 499, 249), 8: (999, 879, 749, 629, 499, 379, 249, 129)}
"""What the networks see, from the grid of 100."""


@pytest.fixture(scope="module")
def inputs():
    return parity.inputs(TINY)


@pytest.fixture(scope="module")
def networks():
    return parity.diffusers_networks(TINY)


@pytest.fixture(scope="module")
def expected(networks, inputs):
    return parity.diffusers_side(*networks, *inputs)


@pytest.fixture(scope="module")
def model(networks, tmp_path_factory):
    unet, adapter = networks
    folder = tmp_path_factory.mktemp("adapter")
    adapter.save_pretrained(folder)
    motion = load_motion(folder / "diffusion_pytorch_model.safetensors")
    assert motion.schedule == "AnimateLCM text-to-video"
    return apply_motion(parity.host_model(unet.state_dict(), TINY), motion, 1.0, SCHEDULES[motion.schedule])


@pytest.mark.parametrize(("sampler", "steps", "cfg"), itertools.product(["stock", "ours"], STEPS, CFG))
def test_latents_and_timesteps_are_those_of_diffusers(model, inputs, expected, sampler, steps, cfg):
    run = parity.run_host(model, sampler == "ours", *inputs, steps, cfg)
    result = parity.result_of("", run, expected.runs[steps, cfg])
    assert result.relative_rms < TOLERANCE
    assert run.timesteps == expected.runs[steps, cfg].timesteps == TIMESTEPS[steps]


def test_the_cases_differ(expected):
    """Nothing would be compared if steps, guidance or motion had no effect."""
    runs = expected.runs
    for case, other in (((4, 1.0), (4, 1.5)), ((4, 1.0), (2, 1.0))):
        assert parity.result_of("", runs[case], runs[other]).relative_rms > 100 * TOLERANCE


def test_without_motion_the_result_is_another(networks, model, inputs, expected):
    bare = parity.host_model(networks[0].state_dict(), TINY)
    bare.add_object_patch("model_sampling", model.get_model_object("model_sampling"))
    run = parity.run_host(bare, True, *inputs, 1, 1.0)
    assert parity.result_of("", run, expected.runs[1, 1.0]).relative_rms > 100 * TOLERANCE


def test_diffusers_own_norm_is_the_one_thing_that_differs(expected):
    """diffusers takes the temporal group norm over all frames, the authors over each alone."""
    assert parity.result_of("", expected.with_own_norm, expected.runs[1, 1.0]).relative_rms > 100 * TOLERANCE

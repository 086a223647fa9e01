"""Whole image-to-video runs agree with diffusers and the encoder's formulae, on the same weights and noise."""

import pytest
from animatelcm.tools.benchmarks import parity, reference_encoder
from animatelcm.tools.benchmarks import parity_image_to_video as image_to_video
from animatelcm.tools.benchmarks.parity import TOLERANCE
from animatelcm.tools.benchmarks.parity_cases import TINY

TIMESTEPS = {1: (999,), 4: (999, 749, 499, 249)}
"""What the networks see, from the grid of 200."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Both sides of every case."""
    unet, adapter = parity.diffusers_networks(TINY)
    weights = reference_encoder.random_weights(TINY.channels)
    path = tmp_path_factory.mktemp("motion") / "image-to-video.safetensors"
    image_to_video.write_file(path, adapter, weights)
    expected = image_to_video.diffusers_side(unet, adapter, weights, TINY, image_to_video.cases())
    return dict(image_to_video.host_side(unet.state_dict(), path, TINY)), expected


@pytest.mark.parametrize("case", image_to_video.cases(), ids=str)
def test_latents_and_timesteps_are_those_of_the_formulae(runs, case):
    ours, expected = (side[case] for side in runs)
    assert parity.result_of("", ours, expected).relative_rms < TOLERANCE
    assert ours.timesteps == expected.timesteps == TIMESTEPS[case[1]]


def test_the_cases_differ(runs):
    """Nothing would be compared if references, steps or guidance had no effect."""
    case = (image_to_video.ONE, 4, 1.0)
    for other in ((image_to_video.EACH, 4, 1.0), (image_to_video.ONE, 1, 1.0), (image_to_video.ONE, 4, 1.5)):
        assert parity.result_of("", runs[1][case], runs[1][other]).relative_rms > 100 * TOLERANCE


def test_without_the_features_the_result_is_another(runs):
    case = (image_to_video.ONE, 1, 1.0)
    nothing = {key: 0 * weight for key, weight in reference_encoder.random_weights(TINY.channels).items()}
    bare = image_to_video.diffusers_side(*parity.diffusers_networks(TINY), nothing, TINY, [case])
    assert parity.result_of("", bare[case], runs[1][case]).relative_rms > 100 * TOLERANCE

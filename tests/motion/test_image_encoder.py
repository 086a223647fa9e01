"""The image encoder agrees with its formulae, and tells frames apart by motion_scale alone."""

import pytest
import torch
from animatelcm.motion.image_encoder import ImageEncoder
from animatelcm.tests.support import relative_rms
from animatelcm.tools.benchmarks import reference_encoder

CHANNELS = (32, 64, 96, 96)
"""The last two levels are as wide as each other, as in Stable Diffusion 1.5."""


@pytest.fixture(scope="module")
def weights():
    return reference_encoder.random_weights(CHANNELS)


@pytest.fixture(scope="module")
def encoder(weights):
    encoder = ImageEncoder(CHANNELS).requires_grad_(False)
    encoder.load_state_dict(weights)
    return encoder


def latents(count=1, height=16, width=16):
    return torch.randn(count, 4, height, width, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("motion_scale", [0.0, 0.8, 2.0])
@pytest.mark.parametrize(("count", "height", "width"), [(1, 16, 16), (6, 16, 8), (1, 9, 7), (6, 1, 5)])
def test_the_features_are_those_of_the_formulae(encoder, weights, count, height, width, motion_scale):
    given = latents(count, height, width)
    expected = reference_encoder.features(weights, given, 6, motion_scale)
    features = encoder(given, 6, motion_scale)
    assert [tuple(level.shape) for level in features] == [tuple(level.shape) for level in expected]
    assert len(features) == len(CHANNELS)
    assert max(relative_rms(*pair) for pair in zip(features, expected, strict=True)) < 1e-5


def test_the_weights_of_the_full_size_are_those_of_the_files():
    with torch.device("meta"):
        state = ImageEncoder().state_dict()
    expected = reference_encoder.shapes((320, 640, 1280, 1280))
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == expected
    assert len(expected) == 38


def test_without_motion_scale_one_image_makes_a_still(encoder):
    for still, moving in zip(encoder(latents(), 5, 0.0), encoder(latents(), 5, 0.8), strict=True):
        assert (still[1:] == still[:1]).all()
        assert all(relative_rms(moving[i], moving[0]) > 1e-2 for i in range(1, 5))


def test_frames_do_not_see_each_other(encoder):
    given = latents(4)
    other = given.clone()
    other[2] += 1
    for before, after in zip(encoder(given, 4, 0.8), encoder(other, 4, 0.8), strict=True):
        assert torch.equal(before[[0, 1, 3]], after[[0, 1, 3]])
        assert relative_rms(after[2], before[2]) > 1e-2


def test_one_image_for_all_is_the_same_image_for_each(encoder):
    for one, each in zip(encoder(latents(), 3, 0.8), encoder(latents().repeat(3, 1, 1, 1), 3, 0.8), strict=True):
        assert relative_rms(one, each) < 1e-6


def test_the_precision_of_the_input_is_kept(weights):
    half = ImageEncoder(CHANNELS, dtype=torch.bfloat16).requires_grad_(False)
    half.load_state_dict(weights)
    features = half(latents().bfloat16(), 3, 0.8)
    expected = reference_encoder.features(weights, latents(), 3, 0.8)
    assert all(level.dtype == torch.bfloat16 for level in features)
    assert max(relative_rms(*pair) for pair in zip(features, expected, strict=True)) < 0.05

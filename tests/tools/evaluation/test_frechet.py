"""The distance is the known one between Gaussians, and grows with every fault that a clip can have."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from animatelcm.demo import world
from animatelcm.tools.evaluation.features import NUM_FEATURES, clip_features, features_of
from animatelcm.tools.evaluation.frechet import LEVEL, Gaussian, fit, frechet_distance, statistics_of
from scipy import linalg


def random_gaussian(seed, size=5):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64)
    return Gaussian(torch.randn(size, generator=generator, dtype=torch.float64), root @ root.T)


FRAMES = 6
"""Of a clip: enough for movement, and for what changes from one change to the next."""


def rendered(seed, count):
    rng = random.Random(seed)
    return [world.render(world.random_scene(rng), FRAMES) for _ in range(count)]


@pytest.fixture(scope="module")
def the_world():
    return statistics_of(features_of(rendered(0, 60)))


@pytest.fixture(scope="module")
def clips():
    return rendered(1, 30)


@pytest.fixture(scope="module")
def fresh(the_world, clips):
    """The distance of the world's own clips, which is not 0 because they are few."""
    return the_world.distance(features_of(clips))


def test_a_distribution_is_at_no_distance_from_itself():
    assert frechet_distance(random_gaussian(1), random_gaussian(1)) == pytest.approx(0, abs=1e-9)


def test_independent_features_add_their_differences_of_mean_and_deviation():
    a = Gaussian(torch.tensor([1.0, 2.0]).double(), torch.diag(torch.tensor([4.0, 9.0])).double())
    b = Gaussian(torch.tensor([0.0, 4.0]).double(), torch.diag(torch.tensor([1.0, 25.0])).double())
    assert frechet_distance(a, b) == pytest.approx((1 + 4) + (2 - 1) ** 2 + (5 - 3) ** 2)


@pytest.mark.parametrize("seed", range(4))
def test_it_agrees_with_the_matrix_root_and_is_symmetric(seed):
    a, b = random_gaussian(seed), random_gaussian(seed + 10)
    root = linalg.sqrtm(a.covariance.numpy() @ b.covariance.numpy()).real
    expected = (np.square((a.mean - b.mean).numpy()).sum()
                + np.trace(a.covariance.numpy() + b.covariance.numpy() - 2 * root))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_fewer_clips_than_features_give_a_finite_distance():
    few = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    assert 0 < frechet_distance(fit(few), fit(few + 1)) == pytest.approx(9, rel=1e-6)
    with pytest.raises(ValueError, match="1 clips have no covariance"):
        fit(few[:1])


def test_fitting_recovers_a_gaussian():
    a = random_gaussian(3)
    drawn = torch.distributions.MultivariateNormal(a.mean, a.covariance)
    torch.manual_seed(0)
    assert frechet_distance(fit(drawn.sample((200_000,))), a) < 1e-3


def test_features_are_low_frequencies_and_changes():
    ramp = torch.linspace(0, 1, 32).view(1, 1, 1, 32).expand(16, 3, 32, 32)
    features = clip_features(ramp)
    assert features.shape == (NUM_FEATURES,)
    low = features[:8].view(2, 2, 2)
    assert low[0, 0, 0].item() == pytest.approx(0.5)
    assert low[0, 0, 1] < -0.1 and low[0, 1, 0].abs() < 1e-6 and low[1].abs().max() < 1e-6
    assert features[8:14].abs().max() < 1e-3, "grey has no colour"
    assert features[15:].tolist() == pytest.approx([np.log(1e-4)] * 2)


def test_features_do_not_depend_on_the_size_or_length():
    scene = world.Scene("red", "circle", "left")
    clip = world.render(scene)
    half = torch.nn.functional.interpolate(clip, scale_factor=0.5, mode="area")
    torch.testing.assert_close(clip_features(half)[:14], clip_features(clip)[:14], atol=2e-3, rtol=0.02)


FAULTS = {
    "wrong colours": lambda clip: clip[:, [1, 2, 0]],
    "still": lambda clip: clip[:1].expand_as(clip),
    "blurred": lambda clip: torch.nn.functional.avg_pool2d(clip, 9, 1, 4),
    "flickering": lambda clip: clip + 0.05 * torch.tensor([1.0, -1.0]).repeat(FRAMES // 2).view(FRAMES, 1, 1, 1),
    "shuffled": lambda clip: clip[torch.randperm(FRAMES, generator=torch.Generator().manual_seed(0))],
    "too dark": lambda clip: clip * 0.6,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_increases_it(the_world, clips, fresh, fault):
    assert fresh < 6
    assert the_world.distance(features_of(map(FAULTS[fault], clips))) > fresh + 1


def test_what_nobody_can_see_does_not_make_the_distance():
    # A feature that hardly varies counts in levels of a frame, every other in its own deviation.
    features = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([1e-5, 0.5])
    known, apart = statistics_of(features), torch.tensor([LEVEL, 0.0]).double()
    assert known.distance(features + apart) == pytest.approx(1)
    assert known.scale[1].item() == pytest.approx(features[:, 1].std().item())

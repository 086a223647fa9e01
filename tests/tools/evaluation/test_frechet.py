"""The distance is the known one between Gaussians, and grows with every fault that a clip can have."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from animatelcm.demo.scenes import random_scene, render
from animatelcm.tools.evaluation.features import NUM_FEATURES, clip_features, features_of
from animatelcm.tools.evaluation.frechet import Gaussian, fit, frechet_distance, statistics_of
from scipy import linalg


def random_gaussian(seed, size=5):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64)
    return Gaussian(torch.randn(size, generator=generator, dtype=torch.float64), root @ root.T)


FRAMES = 6
"""Of a clip: enough for movement, and for what changes from one change to the next."""


def rendered(seed, count):
    rng = random.Random(seed)
    return [render(random_scene(rng), FRAMES).frames for _ in range(count)]


@pytest.fixture(scope="module")
def the_world():
    return statistics_of(features_of(rendered(0, 120)))


@pytest.fixture(scope="module")
def clips():
    return rendered(1, 40)


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


def test_features_say_what_is_where():
    ramp = torch.linspace(0, 1, 32).view(1, 1, 1, 32).expand(16, 3, 32, 32)
    features = clip_features(ramp)
    assert features.shape == (NUM_FEATURES,) and features.isfinite().all()
    assert features[:4].tolist() == pytest.approx([0.25, 0.75, 0.25, 0.75], abs=0.01)
    assert features[4:8].abs().max() < 1e-3, "grey has no colour"
    blue = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(16, 3, 32, 32)
    assert clip_features(blue)[4:6].tolist() == pytest.approx([0.5, 0.5], abs=1e-3)


def test_what_stands_still_has_no_change():
    torch.manual_seed(0)
    still = torch.rand(1, 3, 32, 32).expand(16, -1, -1, -1)
    nothing = np.log(1 / 255)
    assert clip_features(still)[24:].tolist() == pytest.approx([nothing] * 9)
    assert clip_features(still)[8:24].min() > nothing + 1


def test_single_frames_and_odd_sizes_have_features():
    assert clip_features(torch.rand(1, 3, 37, 41)).isfinite().all()


def test_bands_are_wavelengths():
    x = torch.arange(64.0)
    for band, length in ((2, 8.0), (4, 4.0), (7, 2.3)):
        waves = (0.5 + 0.4 * torch.sin(2 * np.pi * x / length)).view(1, 1, 1, 64).expand(2, 3, 64, 64)
        energies = clip_features(waves)[8:15]
        assert energies.argmax() + 1 == pytest.approx(band, abs=1)


FAULTS = {
    "wrong colours": lambda clip: clip[:, [1, 2, 0]],
    "still": lambda clip: clip[:1].expand_as(clip),
    "a little soft": lambda clip: torch.nn.functional.avg_pool2d(clip, 3, 1, 1),
    "noisy": lambda clip: clip + 0.02 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(0)),
    "flickering": lambda clip: clip + 0.05 * torch.tensor([1.0, -1.0]).repeat(FRAMES // 2).view(FRAMES, 1, 1, 1),
    "shuffled": lambda clip: clip[torch.randperm(FRAMES, generator=torch.Generator().manual_seed(0))],
    "too dark": lambda clip: clip * 0.6,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_increases_it(the_world, clips, fresh, fault):
    assert fresh < 9
    assert the_world.distance(features_of(map(FAULTS[fault], clips))) > fresh + 1

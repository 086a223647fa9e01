"""The host's patches of guidance and caching on a video in windows: they work as in one piece, or are refused."""

import comfy.sample
import pytest
import torch
from animatelcm.host.motion import apply_motion
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.support import SCHEDULE, conditioning, noise_for, record_calls, relative_rms, with_windows
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from comfy_extras.nodes_sag import SelfAttentionGuidance

STEPS = 4
"""Enough for the caches to skip one."""


def sample(model, num_frames=6):
    """Sample in a size that leaves the middle of the UNet more than one pixel."""
    noise = noise_for(num_frames, size=16)
    with torch.inference_mode():
        return comfy.sample.sample(model, noise, STEPS, 1.5, "euler", "simple", conditioning(1), conditioning(2),
                                   torch.zeros_like(noise), disable_pbar=True, seed=0)


def self_attention(model):
    return SelfAttentionGuidance.execute(model, 0.5, 2.0).result[0]


def easy_cache(model):
    return EasyCacheNode.execute(model, 10.0, 0.1, 0.95, False).result[0]


REFUSED = {
    "Self-Attention Guidance": self_attention,
    "EasyCache": easy_cache,
}
WORKING = {
    "Perturbed-Attention Guidance": lambda model: PerturbedAttentionGuidance.execute(model, 2.0).result[0],
    "LazyCache": lambda model: LazyCacheNode.execute(model, 10.0, 0.1, 0.95, False).result[0],
}


@pytest.fixture
def still(model, motion):
    """A MODEL whose motion module is the identity, so that windows change nothing."""
    return apply_motion(model, motion, 0.0, SCHEDULES[SCHEDULE])


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("windows_first", [False, True])
def test_what_takes_one_call_for_the_whole_video_is_refused_in_windows(still, name, windows_first):
    patch = REFUSED[name]
    patched = patch(with_windows(still)) if windows_first else with_windows(patch(still))
    calls = record_calls(patched)
    with pytest.raises(ValueError, match=f"^{name} .* does not work in context windows: the video has 6 frames, a "
                                         "window 4.*works in them"):
        sample(patched)
    assert calls == []


@pytest.mark.parametrize("name", REFUSED)
def test_it_works_in_a_video_that_fits_into_one_window(still, name):
    patched = REFUSED[name](still)
    whole = sample(patched, 4)
    assert relative_rms(whole, sample(still, 4)) > 1e-4
    assert relative_rms(sample(with_windows(patched), 4), whole) < 1e-6


@pytest.mark.parametrize("name", WORKING)
def test_what_the_refusals_recommend_works_in_windows(still, name):
    patched = WORKING[name](still)
    whole = sample(patched)
    assert relative_rms(whole, sample(still)) > 1e-5
    assert relative_rms(sample(with_windows(patched)), whole) < 1e-4

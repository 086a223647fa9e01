"""The motion module's training: it begins as the identity, changes nothing else, and leaves a file that loads."""

import pytest
import torch
from animatelcm.demo import network
from animatelcm.demo.scenes import FRAMES
from animatelcm.host.motion import load_motion
from animatelcm.motion.module import MotionConfig
from animatelcm.tests.support import randomise
from animatelcm.tools.demo.image_training import new_model
from animatelcm.tools.demo.latent_cache import BLOCK, LATENT, Cache, Source
from animatelcm.tools.demo.motion_training import (
    STRIDE,
    Moving,
    clips,
    export,
    motion_loss,
    new_motion,
    noise_levels,
)

TINY = network.UNET | {"model_channels": 32, "channel_mult": (1, 1, 1, 1)}
SITES = MotionConfig(channels=(32, 32, 32, 32), heads=4)


@pytest.fixture(scope="module")
def image():
    return randomise(new_model(0, TINY), 0).requires_grad_(False)


def test_an_untrained_module_changes_nothing(image):
    z = torch.randn(FRAMES, *LATENT)
    timesteps, context = torch.full((FRAMES,), 500.0), image.context(["a cat"]).expand(FRAMES, -1, -1)
    with torch.no_grad():
        still = image(z, timesteps, context)
        assert torch.allclose(Moving(image, new_motion(0, SITES))(z, timesteps, context), still, atol=1e-5)
        moved = Moving(image, randomise(new_motion(0, SITES), 1))(z, timesteps, context)
    assert (moved - still).abs().max() > 0.01


def test_a_step_is_known_by_its_number_and_trains_the_module_alone(image):
    source = Source("clips", BLOCK, clips=True)
    latents = torch.randn(source.shape, generator=torch.Generator().manual_seed(0)).half()
    module = randomise(new_motion(0, SITES), 1)
    moving, cache = Moving(image, module), Cache(source, latents)
    loss = motion_loss(image, moving, cache, 0, 3, 1)
    loss.backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in module.parameters())
    assert all(weight.grad is None for weight in image.parameters())
    with torch.no_grad():
        again, other = (motion_loss(image, moving, cache, 0, step, 1) for step in (3, 4))
    assert float(again) == pytest.approx(loss.item(), rel=1e-5) != float(other)


def test_one_clip_in_five_is_hidden_and_half_have_strong_noise():
    timesteps, hidden = noise_levels(20_000, torch.Generator().manual_seed(0))
    assert 0.19 < hidden.float().mean() < 0.21 and (timesteps[hidden] == 999).all()
    seen = timesteps[~hidden]
    assert 0 <= seen.min() < 20 and seen.max() < 1000
    # Three of eight are drawn evenly, and five by the fifth power.
    expected = 0.375 * 0.75 + 0.625 * 0.75 ** 6
    assert (seen < 750).float().mean() == pytest.approx(expected, abs=0.015)


def test_clips_of_a_prompt_are_known_by_their_seed(image):
    module = new_motion(0, SITES)
    first, again = (clips(image, module, ("a cat",), 0)[0] for _ in range(2))
    assert first.shape == (FRAMES // STRIDE, *LATENT) and torch.equal(first, again)


def test_the_file_loads(tmp_path):
    module = new_motion(0)
    export({name: weight.detach() for name, weight in module.named_parameters()}, tmp_path)
    assert load_motion(tmp_path / "motion.safetensors").config == network.MOTION

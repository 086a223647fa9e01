"""The codec takes up where the analytic one is, keeps what it says it keeps, and trains."""

import random

import pytest
import torch
from animatelcm.demo.autoencoder import analytic_latent, mean_colour
from animatelcm.tools.demo import codec_training
from animatelcm.tools.demo.codec_training import (
    band_of_each,
    block_energies,
    codec_loss,
    lost_strength,
    standardise,
    transform,
)


@pytest.fixture(scope="module")
def codec():
    codec = codec_training.new_codec(0)
    standardise(codec, 24)
    return codec.eval()


def test_untrained_it_is_the_analytic_codec():
    picture = torch.rand(2, 3, 64, 48)
    codec = codec_training.new_codec(0)
    raw = codec.raw_latent(picture)
    assert torch.equal(raw, analytic_latent(picture))
    cells = torch.nn.functional.avg_pool2d(picture, 8)
    assert torch.allclose(mean_colour(raw), cells, atol=1e-3)


def test_shapes_and_the_size_of_the_decoder(codec):
    image = torch.rand(1, 3, 64, 128) * 2 - 1
    latent = codec.encode(image)
    assert latent.shape == (1, 4, 8, 16)
    assert codec.decode(latent).shape == image.shape
    assert sum(weight.numel() for weight in codec.decoder.parameters()) < 2.5e6


def test_latents_have_unit_variance_whatever_the_encoder_learned():
    codec = codec_training.new_codec(0)
    torch.nn.init.normal_(codec.encoder.conv_out.weight, std=0.2)
    standardise(codec, 24)
    pictures = codec_training.frames_at(random.Random("standardise"), 24)
    with torch.no_grad():
        z = codec.encode(pictures * 2 - 1) * 0.18215
        assert torch.allclose(z.mean((0, 2, 3)), torch.zeros(4), atol=1e-3)
        assert torch.allclose(z.std((0, 2, 3)), torch.ones(4), atol=1e-3)
        # Decoding takes the same way back: the decoder sees what the encoder gave.
        assert torch.allclose(codec.decode(codec.encode(pictures[:1] * 2 - 1)),
                              2 * codec.picture(codec.raw_latent(pictures[:1])) - 1, atol=1e-4)


def test_previews_have_the_right_colours(codec):
    pictures = codec_training.held_out(6)
    with torch.no_grad():
        z = codec.encode(pictures * 2 - 1) * 0.18215
    shown = torch.einsum("bchw,co->bohw", z, codec.rgb_factors) + codec.rgb_bias.view(1, 3, 1, 1)
    assert torch.allclose((shown + 1) / 2, torch.nn.functional.avg_pool2d(pictures, 8), atol=2e-3)


def test_the_bands_are_those_of_an_orthonormal_transform():
    filters = transform().flatten(1)
    assert torch.allclose(filters @ filters.T, torch.eye(64), atol=1e-5)
    assert band_of_each().tolist()[:3] == [0, 1, 2]
    flat = block_energies(torch.full((1, 3, 16, 16), 0.7))
    assert float(flat.abs().max()) < 1e-9
    # A wave of 16 pixels lies in the first band, one of 2 pixels in the last.
    x = torch.arange(16.0) + 0.5
    for length, band in ((16, 0), (2.1, 6)):
        wave = torch.cos(2 * torch.pi * x / length).expand(1, 3, 16, 16)
        energies = block_energies(wave).sum((0, 2, 3))
        assert int(energies.argmax()) == band


def test_a_blurred_picture_has_lost_strength_and_the_same_one_none():
    picture = codec_training.held_out(1)
    blurred = torch.nn.functional.avg_pool2d(picture, 3, 1, 1)
    assert float(lost_strength(picture, picture)) == 0
    assert 0.3 < float(lost_strength(blurred, picture)) < 1


def test_a_step_is_drawn_from_its_number_and_training_helps():
    codec = codec_training.new_codec(0)
    first, again, next_one = (codec_loss(codec, 0, step, frames=1).item() for step in (5, 5, 6))
    assert first == again != next_one
    optimiser = torch.optim.AdamW(codec.parameters(), 1e-3)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = codec_loss(codec, 0, 0, frames=1)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
    assert all(weight.grad is not None for weight in codec.parameters())

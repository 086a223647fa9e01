"""What changes a motion module from frame to frame: against plain formulas."""

import math

import pytest
import torch
from animatelcm.motion.frame_scales import FrameScales, Slot
from animatelcm.motion.module import MotionConfig, TemporalTransformer, network_of
from animatelcm.tests.support import randomise

FRAMES, CHANNELS, HEADS = 5, 32, 4


@pytest.fixture(scope="module")
def site():
    return randomise(TemporalTransformer(CHANNELS, HEADS, 8), 0).eval().requires_grad_(False)


def features(clips=1, seed=1, size=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(clips * FRAMES, CHANNELS, size, size, generator=generator)


def by_formula(attention, h, scale):
    """Return softmax((s_j q_i . k_j) / sqrt(d)) v, frame by frame, through the layer's own projections."""
    rows, frames, channels = h.shape
    width = channels // HEADS
    normed = attention.norm(h) + attention.positions[:frames]
    q, k, v = (part.view(rows, frames, HEADS, width) for part in attention.to_qkv(normed).chunk(3, dim=-1))
    logits = torch.einsum("rinc,rjnc->rnij", q, k) * scale.view(1, 1, 1, -1) / math.sqrt(width)
    out = torch.einsum("rnij,rjnc->rinc", logits.softmax(dim=-1), v)
    return attention.to_out(out.reshape(rows, frames, channels))


@pytest.mark.parametrize("scale", [[1.0] * 5, [1.4] * 5, [0.0] * 5, [0.5, 1.0, 2.0, 0.0, 1.2]])
def test_it_is_a_factor_on_the_logits_of_the_frame_that_is_looked_at(site, scale):
    attention, scale = site.attentions[0], torch.tensor(scale)
    h = torch.randn(6, FRAMES, CHANNELS, generator=torch.Generator().manual_seed(2))
    expected = by_formula(attention, h, scale)
    forms = [FrameScales(scale.view(1, -1, 1).expand(6, -1, 1))]
    if scale.unique().numel() == 1:
        forms.append(FrameScales(scale[0].item()))
    for form in forms:
        torch.testing.assert_close(attention(h, form), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("grad", [False, True])
def test_1_gives_the_same_bits_as_none(site, grad):
    x = features()
    with torch.set_grad_enabled(grad):
        plain = site(x, FRAMES)
        for one in (1.0, 1, torch.ones(FRAMES, 1, 1, 1), torch.ones(1, 1, 3, 3)):
            assert torch.equal(site(x, FRAMES, 1.0, FrameScales(one)), plain)
        assert not torch.equal(site(x, FRAMES, 1.0, FrameScales(1.1)), plain)


def test_each_clip_frame_and_place_has_its_own(site, monkeypatch):
    """Also where the rows run in parts."""
    x, scale = features(clips=2), 2 * torch.rand(FRAMES, 1, 3, 3, generator=torch.Generator().manual_seed(4))
    both = site(x, FRAMES, 1.0, FrameScales(scale))
    for clip in x.view(2, FRAMES, CHANNELS, 3, 3):
        for row in range(3):
            for column in range(3):
                # A place sees nothing of the others after the norm; the norm is of the whole frame.
                of_place = scale[:, :, row, column].view(FRAMES, 1, 1, 1)
                whole = site(clip, FRAMES, 1.0, FrameScales(of_place))
                index = 0 if torch.equal(clip, x[:FRAMES]) else FRAMES
                torch.testing.assert_close(both[index:index + FRAMES, :, row, column], whole[:, :, row, column])
    monkeypatch.setattr("animatelcm.motion.module.rows_at_once", lambda *args: 4)
    torch.testing.assert_close(site(x, FRAMES, 1.0, FrameScales(scale)), both)


CONFIG = MotionConfig(channels=(CHANNELS,), mid_block=False, heads=HEADS, max_frames=8)
LAYERS = {"down_blocks.0.motion_modules.0.attentions.1.to_qkv": (96, 32),
          "down_blocks.0.motion_modules.0.attentions.1.to_out": (32, 32),
          "down_blocks.0.motion_modules.0.proj_in": (32, 32), "down_blocks.0.motion_modules.0.proj_out": (32, 32),
          "down_blocks.0.motion_modules.0.ff_in": (256, 32), "down_blocks.0.motion_modules.0.ff_out": (32, 128)}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("part", [0, 1])
def test_a_lora_beside_a_layer_is_the_lora_in_its_weight(layer, part):
    """At the same strength for all frames; in all of a layer's outputs, or some of them."""
    outputs, inputs = LAYERS[layer]
    first, rows = (outputs // 2, outputs // 4) if part else (0, outputs)
    network = randomise(network_of(CONFIG, [Slot(layer, first, rows, 2, 0)]), 5).requires_grad_(False)
    plain = network_of(CONFIG, [])
    weights = {key: value.clone() for key, value in network.state_dict().items() if ".loras." not in key}
    [lora] = [each for name, each in network.named_modules() if name.endswith(".0") and ".loras." in name]
    weights[f"{layer}.weight"][first:first + rows] += 0.75 * lora.up.weight @ lora.down.weight
    plain.load_state_dict(weights)
    plain.requires_grad_(False)
    x, site = features(seed=7), network.sites()["input", 1]
    some, none = (site(x, FRAMES, 1.0, FrameScales(1.0, (torch.full((FRAMES, 1), number),))) for number in (0.75, 0.0))
    torch.testing.assert_close(some, plain.sites()["input", 1](x, FRAMES), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(some, none)

"""The temporal network by itself: what it must keep, and what it must not let through."""

import pytest
import torch
from animatelcm.motion import module
from animatelcm.motion.frame_scales import FrameScales
from animatelcm.motion.module import MotionConfig, MotionModule, TemporalTransformer, sinusoid
from animatelcm.tests.support import motion_module, randomise
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

CHANNELS, HEADS, FRAMES = 32, 4, 6


def site(seed=0, dtype=torch.float32):
    return randomise(TemporalTransformer(CHANNELS, HEADS, max_frames=16), seed).to(dtype)


def clips(count=1, seed=0, dtype=torch.float32):
    """Features of `count` clips, (b f) c h w."""
    return torch.randn(count * FRAMES, CHANNELS, 3, 2, generator=torch.Generator().manual_seed(seed)).to(dtype)


class Calls(TorchDispatchMode):
    """Lists what is called as (name, numbers in the result); single tensors only."""

    def __enter__(self):
        self.made = []
        super().__enter__()
        return self.made

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        if isinstance(result, torch.Tensor):
            self.made.append((function.name(), result.numel()))
        return result


def without_positions(transformer):
    for attention in transformer.attentions:
        attention.positions.zero_()
    return transformer


def reference(transformer, x, num_frames, strength):
    """The same network in the plainest terms, place by place and head by head (AnimateDiff, Guo et al. 2023)."""
    normed = F.group_norm(x, 32, transformer.norm.weight, transformer.norm.bias, eps=1e-6)
    out = torch.zeros_like(x)
    for clip in range(len(x) // num_frames):
        span = slice(clip * num_frames, (clip + 1) * num_frames)
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                h = transformer.proj_in(normed[span, :, row, column])
                for attention in transformer.attentions:
                    n = attention.norm(h) + sinusoid(num_frames, x.shape[1]).to(x)
                    q, k, v = (n @ part.T for part in attention.to_qkv.weight.chunk(3))
                    heads = []
                    for head in range(attention.heads):
                        d = x.shape[1] // attention.heads
                        part = slice(head * d, (head + 1) * d)
                        scores = q[:, part] @ k[:, part].T / d ** 0.5
                        heads.append(scores.softmax(-1) @ v[:, part])
                    h = h + attention.to_out(torch.cat(heads, 1))
                value, gate = transformer.ff_in(transformer.ff_norm(h)).chunk(2, -1)
                h = h + transformer.ff_out(value * F.gelu(gate))
                out[span, :, row, column] = transformer.proj_out(h)
    return x + strength * out


@torch.no_grad()
@pytest.mark.parametrize("fused", [True, False])
def test_agrees_with_the_plain_reference(fused):
    transformer, x = site(dtype=torch.float64), clips(2, dtype=torch.float64)
    for attention in transformer.attentions:
        attention.fused = fused
    result = transformer(x, FRAMES, 0.7)
    assert (result - x).abs().mean() > 0.1
    torch.testing.assert_close(result, reference(transformer, x, FRAMES, 0.7), rtol=1e-6, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("scale", [1, 1.3, "of each frame"])
def test_scaled_keys_are_the_same_in_products(scale):
    numbers = torch.Generator().manual_seed(1)
    q, k, v = torch.randn(3, 6, HEADS, FRAMES, 8, dtype=torch.float64, generator=numbers)
    if scale == "of each frame":
        scale = torch.rand(6, FRAMES, 1, dtype=torch.float64, generator=numbers)
    attention = site().attentions[0]
    expected = attention._attend(q, k, v, scale)
    attention.fused = False
    torch.testing.assert_close(attention._attend(q, k, v, scale), expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_is_the_identity_with_its_output_at_zero():
    transformer, x = site(), clips()
    assert not torch.equal(transformer(x, FRAMES), x)
    transformer.reset_output()
    assert torch.equal(transformer(x, FRAMES), x)


@torch.no_grad()
def test_strength_is_a_factor_on_the_contribution():
    transformer, x = site(dtype=torch.float64), clips(dtype=torch.float64)
    assert torch.equal(transformer(x, FRAMES, 0.0), x)
    whole = transformer(x, FRAMES, 1.0) - x
    for strength in (0.5, 2.0, -1.0):
        torch.testing.assert_close(transformer(x, FRAMES, strength) - x, strength * whole)


@torch.no_grad()
def test_only_positions_tell_the_order_of_frames():
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    transformer, x = site(dtype=torch.float64), clips(dtype=torch.float64)
    permuted = transformer(x, FRAMES)[order]
    assert (transformer(x[order], FRAMES) - permuted).abs().max() > 1e-2
    without_positions(transformer)
    torch.testing.assert_close(transformer(x[order], FRAMES), transformer(x, FRAMES)[order])


def test_no_gradient_crosses_between_clips():
    transformer, x = site(), clips(3).requires_grad_()
    second = slice(FRAMES, 2 * FRAMES)
    transformer(x, FRAMES)[second].square().sum().backward()
    assert x.grad[:FRAMES].eq(0).all()
    assert x.grad[2 * FRAMES:].eq(0).all()
    assert x.grad[second].ne(0).all()


def test_every_frame_of_a_clip_sees_every_other():
    transformer, x = site(), clips().requires_grad_()
    for frame in range(FRAMES):
        gradient, = torch.autograd.grad(transformer(x, FRAMES)[frame].square().sum(), x)
        assert gradient.flatten(1).abs().sum(1).gt(0).all()


def test_places_of_the_image_do_not_see_each_other():
    """But for the group norm, which takes its mean over all places of a frame; without it they are independent."""
    transformer, x = site(), clips().requires_grad_()
    transformer.norm = torch.nn.Identity()
    gradient, = torch.autograd.grad(transformer(x, FRAMES)[:, :, 1, 0].square().sum(), x)
    seen = gradient.abs().sum((0, 1)).gt(0)
    assert seen.sum() == 1 and seen[1, 0]


@torch.no_grad()
def test_two_clips_at_once_are_two_clips():
    transformer, x = site(), clips(2)
    apart = torch.cat([transformer(x[:FRAMES], FRAMES), transformer(x[FRAMES:], FRAMES)])
    torch.testing.assert_close(transformer(x, FRAMES), apart)
    assert (transformer(x, 2 * FRAMES) - apart).abs().max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_leaves_its_input_alone_and_keeps_its_type_and_layout(dtype):
    transformer, x = site(dtype=dtype), clips(dtype=dtype)
    for layout in (torch.contiguous_format, torch.channels_last):
        given = x.to(memory_format=layout)
        with torch.inference_mode():
            result = transformer(given, FRAMES)
        assert torch.equal(given, x)
        assert result.dtype is dtype and result.shape == x.shape and result.isfinite().all()
        assert result.data_ptr() != given.data_ptr()


def test_the_memory_saving_path_gives_the_same_values():
    """Without gradients sums are made in place; values and weights must not depend on that."""
    transformer, x = site(), clips(2)
    before = {key: value.clone() for key, value in transformer.state_dict().items()}
    with_gradients = transformer(x, FRAMES).detach()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            first, second = transformer(x, FRAMES), transformer(x, FRAMES)
        assert torch.equal(first, with_gradients) and torch.equal(second, with_gradients)
    assert all(torch.equal(value, before[key]) for key, value in transformer.state_dict().items())


@pytest.mark.parametrize("num_frames", [FRAMES, 1])
def test_gradients_are_those_of_the_plain_reference(num_frames):
    transformer, x = site(dtype=torch.float64).train(), clips(2, dtype=torch.float64).requires_grad_()
    wanted = [x, *transformer.parameters()]
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)
    ours = torch.autograd.grad((transformer(x, num_frames, 0.7) * weight).sum(), wanted)
    theirs = torch.autograd.grad((reference(transformer, x, num_frames, 0.7) * weight).sum(), wanted)
    for gradient, expected in zip(ours, theirs, strict=True):
        assert gradient.isfinite().all()
        torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-6)


def test_float32_training_gradients_are_finite_everywhere():
    network = motion_module(MotionConfig(channels=(32, 64), heads=4, max_frames=8)).train()
    loss = sum(transformer(torch.randn(8, transformer.norm.num_channels, 2, 2), 4).square().mean()
               for transformer in network.sites().values())
    loss.backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.ne(0).any() for parameter in network.parameters())


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_rows_in_small_parts_are_the_same_rows(mode, monkeypatch):
    transformer, x = site(), clips(2)
    with mode():
        whole = transformer(x, FRAMES)
        monkeypatch.setattr(module, "rows_at_once", lambda *shape: 5)
        torch.testing.assert_close(transformer(x, FRAMES), whole)


@torch.no_grad()
def test_rows_in_one_part_are_not_copied():
    """But once, on the way in: a copy reads and writes all features of a site."""
    transformer, x = site(), clips(2)
    with Calls() as calls:
        transformer(x, FRAMES)
    whole = [name for name, size in calls if name in ("aten::clone", "aten::copy_", "aten::cat") and size == x.numel()]
    assert whole == ["aten::clone"]


def test_a_compiled_site_is_one_graph(monkeypatch):
    """Whole, in parts, and with what changes from frame to frame; `fullgraph` refuses a break."""
    transformer, x = site(), clips(2)
    factors = torch.linspace(0.5, 1.5, FRAMES).view(FRAMES, 1, 1, 1)
    for rows, strength, scales in ((1000, 1.0, FrameScales()), (5, factors, FrameScales(factors))):
        monkeypatch.setattr(module, "rows_at_once", lambda *shape, rows=rows: rows)
        torch._dynamo.reset()
        compiled = torch.compile(transformer, backend="eager", fullgraph=True)
        with torch.inference_mode():
            torch.testing.assert_close(
                compiled(x, FRAMES, strength, scales), transformer(x, FRAMES, strength, scales))


def test_rows_run_together_within_bounds():
    assert module.rows_at_once(16, 320, 4, "cpu") * 16 * 8 * 320 * 4 <= module.WIDEST["cpu"]
    assert module.rows_at_once(64, 10**9, 4, "cpu") == 1
    assert module.rows_at_once(1, 32, 1, "some other device") == module.MOST_ROWS < 65536


@torch.no_grad()
def test_one_frame_is_a_clip_too():
    transformer, x = site(dtype=torch.float64), clips(dtype=torch.float64)
    torch.testing.assert_close(transformer(x, 1), reference(transformer, x, 1, 1.0), rtol=1e-6, atol=1e-6)


def test_positions_are_not_weights():
    network = MotionModule(MotionConfig(channels=(32, 64)))
    assert not any("positions" in key for key in network.state_dict())
    assert not any("positions" in name for name, _ in network.named_parameters())


def test_the_sinusoid_is_that_of_the_transformer():
    table = sinusoid(64, 320)
    assert table.shape == (64, 320)
    for position, channel in ((0, 0), (1, 0), (7, 1), (63, 318), (40, 319)):
        angle = torch.tensor(position / 10000 ** ((channel - channel % 2) / 320), dtype=torch.float64)
        expected = torch.cos(angle) if channel % 2 else torch.sin(angle)
        assert table[position, channel].item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_module_of_stable_diffusion_size_has_21_sites_and_453_million_weights():
    with torch.device("meta"):
        network = MotionModule(MotionConfig())
    sites = network.sites()
    inputs, outputs = [1, 2, 4, 5, 7, 8, 10, 11], range(12)
    assert set(sites) == {("input", i) for i in inputs} | {("middle", 0)} | {("output", i) for i in outputs}
    assert len({id(transformer) for transformer in sites.values()}) == 21
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(453e6, rel=2e-3)
    widths = {key: transformer.norm.num_channels for key, transformer in sites.items()}
    assert [widths["input", i] for i in inputs] == [320, 320, 640, 640, 1280, 1280, 1280, 1280]
    assert [widths["output", i] for i in outputs] == [1280] * 6 + [640] * 3 + [320] * 3
    with torch.device("meta"):
        without = MotionModule(MotionConfig(mid_block=False)).sites()
    assert set(without) == set(sites) - {("middle", 0)}


@pytest.mark.parametrize("wrong", [{"channels": (48,)}, {"channels": (32,), "heads": 7}, {"max_frames": 0}])
def test_a_shape_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"channels do not divide|at least 1 frame"):
        MotionConfig(**wrong)


def test_everything_of_a_module_is_made_where_it_is_asked_for():
    module = MotionModule(MotionConfig(channels=(32,), heads=4), device="meta")
    assert {tensor.device.type for tensor in (*module.parameters(), *module.buffers())} == {"meta"}
    assert len(list(module.buffers())) > 0

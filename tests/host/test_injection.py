"""How motion modules run inside the host's UNet: where, how many, with whom, and on which frames."""

import contextlib
import dataclasses

import comfy.samplers
import pytest
import torch
from animatelcm.host.motion import KEY, apply_motion, load_motion
from animatelcm.motion.files import write_motion_file
from animatelcm.motion.module import MotionConfig
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.support import CONFIG, SCHEDULE, loaded_motion, record_calls, relative_rms, run, with_windows
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock
from comfy.patcher_extension import WrappersMP


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return loaded_motion(tmp_path_factory.mktemp("motion"), seed=2)


@contextlib.contextmanager
def before_each(site, call):
    handle = site.register_forward_pre_hook(call)
    yield
    handle.remove()


def apply(model, motion, strength=1.0, schedule=SCHEDULE):
    return apply_motion(model, motion, strength, SCHEDULES[schedule])


def test_frames_influence_each_other_only_with_motion(model, motion):
    """The latents of a clip's first frames depend on the last one's noise with a motion module, and not without."""
    applied = apply(model, motion)
    schedule = apply(model, motion, strength=0.0)
    for each, coupled in ((applied, True), (schedule, False)):
        whole, part = run(each, num_frames=4), run(each, num_frames=3)
        assert (relative_rms(whole[:3], part) > 1e-3) is coupled


def test_every_site_runs_once_in_a_call_and_after_its_block(model, motion):
    applied = apply(model, motion)
    order = []
    with contextlib.ExitStack() as hooks:
        for name, site in motion.patcher.model.sites().items():
            hooks.enter_context(before_each(site, lambda layer, args, name=name: order.append((name, args[1]))))
        run(applied, steps=1)
    assert order == [(name, 4) for name in [("input", i) for i in (1, 2, 4, 5, 7, 8, 10, 11)] + [("middle", 0)]
                     + [("output", i) for i in range(12)]]


def test_strength_zero_is_the_model_with_the_other_schedule(model, motion):
    applied = apply(model, motion, strength=0.0)
    bare = model.clone()
    bare.add_object_patch("model_sampling", applied.get_model_object("model_sampling"))
    assert torch.equal(run(applied), run(bare))


def test_without_a_schedule_the_models_own_stays(model, motion):
    applied = apply_motion(model, motion, 1.0, None)
    assert applied.get_model_object("model_sampling") is model.get_model_object("model_sampling")
    assert torch.equal(run(apply_motion(model, motion, 0.0, None)), run(model))


def test_a_module_without_mid_block_leaves_the_middle_out(model, motion, tmp_path):
    """The same as a module whose site in the middle adds nothing."""
    weights = motion.patcher.model.state_dict()
    path, config = tmp_path / "v3.safetensors", dataclasses.replace(CONFIG, mid_block=False)
    outside = {key: value for key, value in weights.items() if not key.startswith("mid_block.")}
    write_motion_file(path, outside, "AnimateDiff v3", "AnimateDiff", config)
    muted = weights | {key: value * 0 for key, value in weights.items() if key.startswith("mid_block.")}
    write_motion_file(tmp_path / "muted.safetensors", muted, "AnimateDiff v3", "AnimateDiff", CONFIG)
    result = run(apply(model, load_motion(path)))
    assert torch.equal(result, run(apply(model, load_motion(tmp_path / "muted.safetensors"))))
    assert not torch.equal(result, run(apply(model, motion)))


def test_conditionings_together_and_apart_are_the_same(model, motion, monkeypatch):
    """The host puts both conditionings into one call when memory allows; each is a clip of its own."""
    applied = apply(model, motion)
    calls = record_calls(applied)
    together = run(applied, cfg=2.0)
    assert {shape[0] for shape, timesteps in calls} == {8}
    calls.clear()
    monkeypatch.setattr(type(applied), "get_free_memory", lambda *args: 0)
    apart = run(applied, cfg=2.0)
    assert {shape[0] for shape, timesteps in calls} == {4}
    assert relative_rms(apart, together) < 1e-5


def test_two_modules_run_both_and_each_with_its_own_strength(model, motion, other):
    first, second = apply(model, motion), apply(model, other)
    assert torch.equal(run(apply(apply(model, motion, 1.0), other, 0.0)), run(first))
    assert torch.equal(run(apply(apply(model, motion, 0.0), other, 1.0)), run(second))
    both = run(apply(first, other, 0.5))
    assert not torch.equal(both, run(first))
    assert not torch.equal(both, run(apply(apply(model, motion, 0.5), other, 1.0)))
    assert torch.equal(both, run(apply(first, other, 0.5).clone()))
    assert [len(m.get_additional_models_with_key(KEY)) for m in (model, first, apply(first, other))] == [0, 1, 2]


def test_the_same_module_twice_runs_twice(model, motion):
    counted = []
    with before_each(motion.patcher.model.sites()["middle", 0], lambda *args: counted.append(1)):
        run(apply(apply(model, motion), motion), steps=3)
    assert len(counted) == 6


class OtherPack:
    """Handlers that another pack registers for the same layers; they run the layer and count."""

    def __init__(self, factor=1.0):
        self.factor, self.seen = factor, []

    def transformer(self, layer, x, emb, context, options, *rest):
        self.seen.append(options["block"])
        x = layer(x, context, options) * self.factor
        options["transformer_index"] += 1
        return x

    def resnet(self, layer, x, emb, context, options, *rest):
        self.seen.append(options["block"])
        return layer(x, emb) * self.factor

    def register(self, model):
        model = model.clone()
        model.set_model_forward_timestep_embed_patch((SpatialTransformer, self.transformer))
        model.set_model_forward_timestep_embed_patch((ResBlock, self.resnet))
        return model


LAYERS = 22 + 16
"""Resnets and spatial transformers of the UNet."""


@pytest.mark.parametrize("order", ["before", "after", "between"])
def test_handlers_of_other_packs_are_still_called(model, motion, other, order):
    pack = OtherPack()
    stages = {"before": [pack.register, lambda m: apply(m, motion), lambda m: apply(m, other)],
              "between": [lambda m: apply(m, motion), pack.register, lambda m: apply(m, other)],
              "after": [lambda m: apply(m, motion), lambda m: apply(m, other), pack.register]}[order]
    ours = run(apply(apply(model, motion), other), steps=2)
    staged = model
    for stage in stages:
        staged = stage(staged)
    assert torch.equal(run(staged, steps=2), ours)
    assert len(pack.seen) == 2 * LAYERS


def test_what_a_handler_of_another_pack_changes_has_effect(model, motion):
    ours = run(apply(model, motion))
    changed = [run(apply(OtherPack(0.9).register(model), motion)), run(OtherPack(0.9).register(apply(model, motion)))]
    assert torch.equal(changed[0], changed[1])
    assert not torch.equal(changed[0], ours)


def test_attention_patches_count_transformers_as_before(model, motion):
    """IP-Adapter-like patches choose their layers by the running number of the transformer."""
    def indices(each):
        seen = []
        each = each.clone()
        each.set_model_attn2_patch(
            lambda q, k, v, options: seen.append((options["block"], options["transformer_index"])) or (q, k, v))
        run(each, steps=1)
        return seen

    assert indices(apply(model, motion)) == indices(model)
    assert len(indices(model)) == 16


def test_more_frames_than_the_module_knows_are_refused(model, tmp_path):
    applied = apply(model, loaded_motion(tmp_path, MotionConfig(CONFIG.channels, max_frames=5)))
    assert run(applied, num_frames=5).isfinite().all()
    with pytest.raises(ValueError, match="the clip has 6 frames.* at most 5.*Long Video"):
        run(applied, num_frames=6)
    assert run(with_windows(applied, length=4), num_frames=6).isfinite().all()


@pytest.mark.parametrize("causal", [False, True])
def test_windows_are_the_clips(model, motion, causal):
    """A window is a clip of its own; the host's causal fix puts one frame before every window but the first."""
    applied = with_windows(apply(model, motion), length=16, overlap=4, causal=causal)
    calls = record_calls(applied)
    result = run(applied, num_frames=40, steps=1)
    assert result.isfinite().all()
    assert [shape[0] for shape, timesteps in calls] == [16, 17, 17] if causal else [16, 16, 16]
    assert not torch.equal(result, run(apply(model, motion), num_frames=40, steps=1))


def test_windows_follow_one_another_like_clips(model, motion):
    """Windows that do not overlap give what separate clips give."""
    applied = apply(model, motion)
    windowed = run(with_windows(applied, overlap=0), num_frames=8, steps=1)
    assert relative_rms(windowed[:4], run(applied, num_frames=4, steps=1)) < 1e-5


@pytest.mark.parametrize("schedule", ["standard_uniform", "looped_uniform", "batched"])
def test_other_window_schedules_run(model, motion, schedule):
    applied = with_windows(apply(model, motion), length=4, overlap=2, schedule=schedule, freenoise=True)
    assert run(applied, num_frames=9, cfg=1.5).isfinite().all()


def test_windows_change_nothing_where_frames_are_independent(model, motion):
    still = apply(model, motion, strength=0.0)
    assert relative_rms(run(with_windows(still), num_frames=10), run(still, num_frames=10)) < 1e-5


def test_announced_memory_grows_with_motion_and_shrinks_with_windows(model, motion):
    def announced(each):
        """Return the bytes that the host makes room for."""
        shapes = []
        each = each.clone()
        each.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, "test", lambda executor, model, shape, *args, **kwargs: (
            shapes.append(list(shape)) or executor(model, shape, *args, **kwargs)))
        run(each, num_frames=12, steps=1)
        return model.model.memory_required(shapes[0])

    applied = apply(model, motion)
    assert announced(model) < announced(applied) < 3 * announced(model)
    assert announced(with_windows(model)) < announced(with_windows(applied)) < announced(applied)


@pytest.mark.parametrize("sampler", comfy.samplers.KSAMPLER_NAMES[:1] + ["lcm", "dpmpp_2m", "uni_pc", "heun"])
def test_stock_samplers_run(model, motion, sampler):
    assert run(apply(model, motion), sampler=sampler, cfg=1.5).isfinite().all()

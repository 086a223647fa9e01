"""Whatever happens, the MODEL that a motion module was applied to stays what it was, and so do the host and torch."""

import gc
import weakref

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import pytest
import torch
from animatelcm.demo import model as demo_model
from animatelcm.host.image_to_video import apply_image_to_video
from animatelcm.host.motion import apply_motion
from animatelcm.motion.module import MotionConfig
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host import snapshots
from animatelcm.tests.host.snapshots import Watch
from animatelcm.tests.support import (
    SCHEDULE,
    UNET_CONFIG,
    loaded_image_to_video,
    loaded_motion,
    model_from,
    randomise,
    run,
    tiny_model,
)
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_management import InterruptProcessingException
from safetensors.torch import load_file


def apply(model, motion, strength=1.0):
    return apply_motion(model, motion, strength, SCHEDULES[SCHEDULE])


def interrupt_after_second_step(step, *rest):
    if step == 1:
        comfy.model_management.interrupt_current_processing()


def failing_at(block, kind=SpatialTransformer):
    """Return another pack's handler that fails at one block of the UNet."""
    def handler(layer, x, emb, context, options, *rest):
        if options["block"] == block:
            raise RuntimeError("another pack's failure")
        return layer(x, context, options)

    return kind, handler


def test_a_run(model, motion):
    watch = Watch(model)
    applied = apply(model, motion)
    assert not torch.equal(run(applied), watch.result)
    watch.check()


def test_a_run_with_a_reference_image_and_one_that_is_refused(model, tmp_path):
    watch = Watch(model)
    motion = loaded_image_to_video(tmp_path)
    latents = torch.ones(3, 4, 8, 8)
    fitting, refused = (
        apply_image_to_video(model, motion, latents[:count], 0.8, (1.0,) * 4, 1.0, SCHEDULES[SCHEDULE])
        for count in (1, 3))
    result = run(fitting)
    with pytest.raises(ValueError, match="3 reference images"):
        run(refused)
    watch.check()
    assert torch.equal(run(fitting), result)


def test_an_interrupt_in_the_middle(model, motion):
    watch = Watch(model)
    applied = apply(model, motion)
    complete = run(applied, steps=4)
    with pytest.raises(InterruptProcessingException):
        run(applied, steps=4, callback=interrupt_after_second_step)
    watch.check()
    assert torch.equal(run(applied, steps=4), complete)


@pytest.mark.parametrize("block", [("input", 4), ("middle", 0), ("output", 11)])
def test_an_exception_inside_the_unet(model, motion, block):
    watch = Watch(model)
    applied = apply(model, motion)
    complete = run(applied)
    failing = applied.clone()
    failing.set_model_forward_timestep_embed_patch(failing_at(block))
    with pytest.raises(RuntimeError, match="another pack's failure"):
        run(failing)
    watch.check()
    assert torch.equal(run(applied), complete)


def test_an_exception_inside_the_motion_module(model, motion, monkeypatch):
    watch = Watch(model)
    applied = apply(model, motion)
    complete = run(applied)
    with monkeypatch.context() as broken, pytest.raises(TypeError):
        broken.setattr(motion.patcher.model.sites()["output", 4], "forward", None)
        run(applied)
    watch.check()
    assert torch.equal(run(applied), complete)


def test_many_runs_in_turn(model, motion, tmp_path):
    watch = Watch(model)
    other = loaded_motion(tmp_path, seed=2)
    first, second = apply(model, motion), apply(model, other)
    both = apply(first, other)
    results = [run(m) for m in (first, second, both)]
    for applied, result in zip((both, first, second), (results[2], results[0], results[1]), strict=True):
        assert torch.equal(run(applied.clone()), result)
        watch.check()


class ThreeLevels(comfy.supported_models.SD15):
    """SDXL's layout, in miniature."""

    unet_config = UNET_CONFIG | {
        "channel_mult": (1, 2, 4), "num_res_blocks": [2, 2, 2], "transformer_depth": [0, 0, 2, 2, 2, 2],
        "transformer_depth_output": [0, 0, 0, 2, 2, 2, 2, 2, 2]}
    unet_extra_config = demo_model.TinySD15.unet_extra_config


class TwoLevels(ThreeLevels):
    unet_config = UNET_CONFIG | {
        "channel_mult": (1, 2), "num_res_blocks": [2, 2], "transformer_depth": [1, 1, 1, 1],
        "transformer_depth_output": [1, 1, 1, 1, 1, 1]}


class OtherChannels(ThreeLevels):
    unet_config = UNET_CONFIG | {"channel_mult": (1, 2, 3, 3)}


def random_model(kind):
    with torch.device("cpu"):
        unet = UNetModel(**kind.unet_config, **kind.unet_extra_config, operations=comfy.ops.disable_weight_init)
    return model_from(kind, randomise(unet, 0).state_dict())


@pytest.mark.parametrize(("kind", "found"), [
    (ThreeLevels, "it has 4 levels, the UNet has 3;"),
    (TwoLevels, "it has 4 levels, the UNet has 2;"),
    (OtherChannels, "at the UNet's input block 7 it has 64 channels, the UNet has 96;"),
])
def test_a_unet_that_does_not_fit_is_refused(kind, found, motion):
    watch = Watch(random_model(kind))
    with pytest.raises(ValueError, match="does not fit this MODEL") as refusal:
        apply(watch.model, motion)
    assert found in str(refusal.value)
    assert motion.name in str(refusal.value) and "Stable Diffusion 1.5 checkpoint" in str(refusal.value)
    watch.check()


def test_a_motion_module_of_other_channels_is_refused(model, tmp_path):
    watch = Watch(model)
    with pytest.raises(ValueError, match="at the UNet's input block 1 it has 320 channels, the UNet has 32"):
        apply(model, loaded_motion(tmp_path, MotionConfig(channels=(320, 32, 32, 32), max_frames=4)))
    watch.check()


def test_a_model_that_is_no_unet_is_refused(motion):
    network = torch.nn.Module()
    network.diffusion_model = torch.nn.Linear(1, 1)
    device = torch.device("cpu")
    model = comfy.model_patcher.CoreModelPatcher(network, load_device=device, offload_device=device)
    options = snapshots.options_of(model)
    with pytest.raises(ValueError, match="it needs a UNet, the MODEL is a Linear"):
        apply(model, motion)
    assert snapshots.options_of(model) == options


def test_a_refused_module_leaves_an_applied_one_working(model, motion, tmp_path):
    applied = apply(model, motion)
    result, options = run(applied), snapshots.options_of(applied)
    with pytest.raises(ValueError, match="does not fit"):
        apply(applied, loaded_motion(tmp_path, MotionConfig(channels=(64, 32, 32, 32), max_frames=4)))
    assert snapshots.options_of(applied) == options
    assert torch.equal(run(applied), result)


def test_saving_a_model_with_motion_saves_the_model_alone(model, motion, tmp_path):
    applied = apply(model, motion)
    run(applied)
    saved = {}
    for name, each in (("bare", model), ("applied", applied)):
        path = tmp_path / f"{name}.safetensors"
        comfy.sd.save_checkpoint(str(path), each)
        saved[name] = load_file(path)
    assert saved["applied"].keys() == saved["bare"].keys()
    assert all(torch.equal(value, saved["bare"][key]) for key, value in saved["applied"].items())


def test_the_model_can_be_freed(motion):
    """Nothing of ours keeps a MODEL alive that nobody uses any more."""
    model = tiny_model()
    run(apply(model, motion))
    weights = weakref.ref(model.model)
    del model
    comfy.model_management.unload_all_models()
    gc.collect()
    assert weights() is None

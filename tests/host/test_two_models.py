"""Motion in a guider that runs two MODELs: each acts with its own, or the run is refused."""

from dataclasses import replace

import comfy.model_management
import comfy.samplers
import pytest
import torch
from animatelcm.host.controls import StrengthControl
from animatelcm.host.image_to_video import apply_image_to_video
from animatelcm.host.motion import apply_motion
from animatelcm.host.motion_lora import with_motion_lora
from animatelcm.host.sampling import model_sampling_for
from animatelcm.host.second_model import WAITING
from animatelcm.keyframes.curve import parse_curve
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.motion import loras_by_hand as by_hand
from animatelcm.tests.motion.files_by_hand import save
from animatelcm.tests.support import (
    SCHEDULE,
    conditioning,
    loaded_image_to_video,
    loaded_motion,
    motion_module,
    noise_for,
    relative_rms,
    run,
    tiny_model,
    with_windows,
)
from comfy_extras.nodes_custom_sampler import DualModelGuider

CFG = 1.5
FIRST, SECOND = conditioning(1), conditioning(2)


@pytest.fixture(scope="module")
def motions(motion, tmp_path_factory):
    folder = tmp_path_factory.mktemp("motions")
    shapes = {key: weight.shape for key, weight in motion_module().state_dict().items()}
    pairs = {layer: (0.1 * down, 0.1 * up) for layer, (down, up) in by_hand.pairs(shapes).items()}
    zoom, _ = with_motion_lora(motion, save(folder / "zoom.safetensors", by_hand.motion_director(pairs)), 1.0)
    curve = StrengthControl(curve=parse_curve("0: 1, 3: 0.5", 0.0, 10.0))
    return {"motion": motion, "other": loaded_motion(folder, seed=2), "zoom": zoom,
            "curve": replace(motion, controls=(curve,)), "animated": loaded_image_to_video(folder, seed=3)}


def equipped(model, motions, name):
    """Return a MODEL with a motion module, or with the schedule of the others alone."""
    if name == "animated":
        latents = noise_for(1, seed=5) / 0.18215
        return apply_image_to_video(model, motions[name], latents, 0.8, (1.0,) * 4, 1.0, SCHEDULES[SCHEDULE])
    if name != "none":
        return apply_motion(model, motions[name], 1.0, SCHEDULES[SCHEDULE])
    model = model.clone()
    model.add_object_patch("model_sampling", model_sampling_for(model, SCHEDULES[SCHEDULE]))
    return model




def sampled(first, second, cfg=CFG, steps=1, num_frames=4):
    guider = DualModelGuider.execute(first, FIRST, cfg, second, SECOND).result[0]
    sigmas = comfy.samplers.calculate_sigmas(first.get_model_object("model_sampling"), "simple", steps)
    noise = noise_for(num_frames)
    with torch.inference_mode():
        return guider.sample(noise, torch.zeros_like(noise), comfy.samplers.sampler_object("euler"), sigmas,
                             disable_pbar=True, seed=0)


def expected(first, second, num_frames=4):
    """Return what one step gives, from a run of each MODEL by itself: Euler's step to 0 ends at the prediction."""
    with_text = run(first, num_frames, steps=1, positive=FIRST)
    without = run(second, num_frames, steps=1, positive=SECOND)
    return without + CFG * (with_text - without)


@pytest.mark.parametrize(("first", "second"), [
    ("motion", "none"), ("none", "motion"), ("motion", "other"), ("motion", "motion"), ("motion", "zoom"),
    ("zoom", "motion"), ("animated", "none"), ("none", "animated"), ("other", "curve"), ("none", "curve")])
def test_each_model_acts_with_its_own_motion(model, motions, first, second):
    first, second = equipped(model, motions, first), equipped(tiny_model(seed=5), motions, second)
    both = sampled(first, second)
    alone = expected(first, second)
    assert relative_rms(both, alone) < 1e-5
    # The two do not depend on one another's order of loading, and leave nothing behind.
    assert torch.equal(sampled(first, second), both)
    assert torch.equal(expected(first, second), alone)


@pytest.mark.parametrize("names", [("motion", "none"), ("motion", "other")])
def test_in_windows(model, motions, names):
    first, second = (with_windows(equipped(each, motions, name))
                     for each, name in zip((model, tiny_model(seed=5)), names, strict=True))
    assert relative_rms(sampled(first, second, num_frames=7), expected(first, second, num_frames=7)) < 1e-5


@pytest.mark.parametrize(("first", "second"), [("motion", "none"), ("none", "motion"), ("motion", "other"),
                                               ("zoom", "motion")])
def test_two_of_one_checkpoint_that_differ_are_refused(model, motions, first, second):
    first, second = equipped(model, motions, first), equipped(model, motions, second)
    before = [run(each) for each in (first, second, model)]
    with pytest.raises(ValueError, match="come from one loaded checkpoint"):
        sampled(first, second)
    # The guider leaves out the second MODEL where there is no guidance.
    assert torch.equal(sampled(first, second, cfg=1.0), run(first, steps=1, positive=FIRST))
    assert all(torch.equal(run(each), own) for each, own in zip((first, second, model), before, strict=True))


def test_two_of_one_checkpoint_with_the_same_motion_are_one_model(model, motions):
    applied = equipped(model, motions, "motion")
    alone = expected(applied, applied)
    for second in (applied, applied.clone()):
        assert relative_rms(sampled(applied, second), alone) < 1e-5


def test_a_model_may_be_loaded_again_during_its_run(model, motions):
    """The host does so after it has encoded what a ControlNet needs."""
    applied = equipped(model, motions, "zoom")
    expected = run(applied)

    def load(*args):
        comfy.model_management.load_models_gpu([applied, *applied.get_nested_additional_models()])

    assert torch.equal(run(applied, callback=load), expected)


def test_a_second_model_that_waits_may_be_unloaded_to_free_memory(motion):
    """It is not displaced by another one then."""
    applied = apply_motion(tiny_model(), motion, 1.0, SCHEDULES[SCHEDULE])
    applied.model.current_patcher = applied
    applied.set_attachments(WAITING, True)
    applied.detach(unpatch_all=True)
    with pytest.raises(ValueError, match="two MODELs that come from one loaded checkpoint"):
        applied.detach(unpatch_all=False)
    applied.remove_attachments(WAITING)

"""A motion LoRA whose strength changes over the frames: beside the weights, with the same result."""

import inspect
from dataclasses import replace

import comfy.model_management
import pytest
import torch
from animatelcm.host.motion import apply_motion
from animatelcm.host.motion_lora import with_motion_lora
from animatelcm.host.patchers import weights_name
from animatelcm.host.saving import save_motion
from animatelcm.host.training.network import trainable
from animatelcm.keyframes.curve import Listed, parse_curve
from animatelcm.motion.frame_scales import LowRank
from animatelcm.nodes.motion_lora import LoadMotionLoRA
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.motion import loras_by_hand as by_hand
from animatelcm.tests.motion.files_by_hand import save
from animatelcm.tests.support import SCHEDULE, motion_module, relative_rms, run, with_windows

SHAPES = {key: weight.shape for key, weight in motion_module().state_dict().items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora")
    paths = []
    for number, factor in enumerate((0.2, 0.3)):
        pairs = {layer: (factor * down, factor * up) for layer, (down, up) in by_hand.pairs(SHAPES).items()}
        metadata = by_hand.adapter_metadata(lora_alpha=6)
        paths.append(save(folder / f"{number}.safetensors", by_hand.peft(pairs), metadata))
    return paths


def curve(text):
    return parse_curve(text, -10.0, 10.0)


def over_frames(motion, path, text, strength=1.0):
    return with_motion_lora(motion, path, strength, curve(text))[0]


def apply(model, motion):
    return apply_motion(model, motion, 1.0, SCHEDULES[SCHEDULE])


@pytest.mark.parametrize("cfg", [1.0, 1.5])
@pytest.mark.parametrize("strength", [0.75, -0.5, 0.0])
def test_the_same_at_all_frames_is_the_strength(model, motion, files, strength, cfg):
    plain = run(apply(model, motion), cfg=cfg)
    expected = run(apply(model, with_motion_lora(motion, files[0], strength)[0]), cfg=cfg)
    for text, factor in ((f"0: {strength}", 1.0), ("0: 0.5", 2 * strength)):
        same = over_frames(motion, files[0], text, factor)
        assert relative_rms(run(apply(model, same), cfg=cfg), expected) < 1e-5
    assert strength == 0 or relative_rms(expected, plain) > 1e-3


def test_several_add_up_with_others_in_the_weights(model, motion, files):
    first, second = files
    expected = with_motion_lora(with_motion_lora(motion, first, 0.75)[0], second, 0.5)[0]
    expected = run(apply(model, expected))
    alone, half = over_frames(motion, first, "0: 0.75"), over_frames(motion, first, "0: 0.5")
    in_order = {
        "both": over_frames(alone, second, "0: 0.5"),
        "before": with_motion_lora(alone, second, 0.5)[0],
        "after": over_frames(with_motion_lora(motion, first, 0.75)[0], second, "0: 0.5"),
        "one in parts": over_frames(over_frames(half, first, "0: 0.25"), second, "0: 0.5"),
    }
    for name, each in in_order.items():
        assert relative_rms(run(apply(model, each)), expected) < 1e-5, name


class Strengths:
    """Keeps the strengths of the first LoRA at each call of one site."""

    def __init__(self, motion):
        self.seen = []
        self.handle = motion.patcher.model.sites()["input", 1].register_forward_pre_hook(
            lambda layer, args: self.seen.append(args[3].loras[0].flatten().round(decimals=4).tolist()))

    def __enter__(self):
        return self.seen

    def __exit__(self, *args):
        self.handle.remove()


def test_in_windows_a_frame_has_its_own(model, motion, files):
    changing = over_frames(motion, files[0], "0: 0, 9: 0.9", 10.0)
    with Strengths(changing) as seen:
        run(with_windows(apply(model, changing)), num_frames=10, steps=1)
    assert seen == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]


def test_a_frame_with_strength_0_keeps_the_module_s_own_projections(model, motion, files):
    """Frames see each other, so that only a layer can be compared: 0 adds nothing to a frame, and 1 does."""
    changing = over_frames(motion, files[0], "0: 0, 3: 3")
    layers = [layer for layer in changing.patcher.model.modules() if isinstance(layer, LowRank)]
    added = {}

    def keep(layer, args, out):
        added[layer] = (out - args[1]).abs().amax(dim=(0, 2)).tolist()

    handles = [layer.register_forward_hook(keep) for layer in layers]
    run(apply(model, changing), steps=1)
    for handle in handles:
        handle.remove()
    assert len(added) == len(layers) == len(by_hand.pairs(SHAPES))
    assert all(of_frames[0] == 0 and min(of_frames[1:]) > 0 for of_frames in added.values())


def test_one_for_another_video_is_refused(model, motion, files):
    applied = apply(model, over_frames(motion, files[0], "0: 1, 4: 0"))
    with pytest.raises(ValueError, match="there is no frame 4 in a video of 4"):
        run(applied)
    listed = with_motion_lora(motion, files[0], 1.0, Listed((1.0,) * 5, "strength_values"))[0]
    with pytest.raises(ValueError, match="strength_values was given 5 numbers for a video of 4 frames"):
        run(apply(model, listed))


def test_modules_with_and_without_take_turns(model, motion, files):
    models = [apply(model, motion), apply(model, over_frames(motion, files[0], "0: 0, 3: 1")), model]
    first = [run(each) for each in models]
    for index in (1, 0, 1, 2, 0):
        assert torch.equal(run(models[index]), first[index])


def test_weights_have_a_name_and_strengths_do_not(motion, files):
    """A MODEL has equal weights once, and the strengths come at each call."""
    names = [weights_name(each.patcher) for each in (
        motion, with_motion_lora(motion, files[0], 1.0)[0], over_frames(motion, files[0], "0: 1"),
        over_frames(motion, files[1], "0: 1"))]
    assert len(set(names)) == 4
    assert weights_name(over_frames(motion, files[0], "0: 0.5").patcher) == names[2]


def test_two_curves_on_one_model_are_each_its_own(model, motion, files):
    both = apply(apply(model, over_frames(motion, files[0], "0: 0.5")), over_frames(motion, files[0], "0: -0.5"))
    expected = apply(apply(model, with_motion_lora(motion, files[0], 0.5)[0]),
                     with_motion_lora(motion, files[0], -0.5)[0])
    assert relative_rms(run(both), run(expected)) < 1e-5


def test_the_copy_that_the_host_makes_has_the_lora(model, motion, files):
    changing = over_frames(motion, files[0], "0: 0, 3: 1")
    if "force_deepcopy" not in inspect.signature(changing.patcher.clone).parameters:
        pytest.skip("this ComfyUI is older than its dynamic loading and makes no copies")
    copied = changing.patcher.clone(force_deepcopy=True)
    assert copied.model is not changing.patcher.model
    expected = run(apply(model, changing))
    comfy.model_management.unload_all_models()
    assert torch.equal(run(apply(model, replace(changing, patcher=copied))), expected)


@pytest.mark.parametrize("use", [
    lambda model, motion: save_motion(motion, "motion"),
    lambda model, motion: trainable(model, motion, torch.float32, torch.device("cpu"), False)])
def test_it_is_not_saved_or_trained_as_weights(model, motion, files, use):
    with pytest.raises(ValueError, match="strength that changes over the frames.*Leave strength_curve"):
        use(model, over_frames(motion, files[0], "0: 1"))


def test_the_node_takes_text_or_a_link(motion, files, monkeypatch):
    monkeypatch.setattr("animatelcm.nodes.motion_lora.motion_lora_path", lambda name: files[0])
    assert not LoadMotionLoRA.execute(motion, "any", 1.0).result[0].loras
    for given in (("0: 0, 3: 0.5", None), ("", [0.0, 1 / 6, 1 / 3, 0.5])):
        [strength] = LoadMotionLoRA.execute(motion, "any", 2.0, *given).result[0].loras
        torch.testing.assert_close(strength.in_call(torch.zeros(4, 4, 8, 8), 4, {}).flatten(),
                                   torch.tensor([0.0, 1 / 3, 2 / 3, 1.0]))

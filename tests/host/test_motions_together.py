"""Motion modules that come from one file, on one MODEL: where their LoRAs differ, each acts with its own weights."""

import gc
import itertools
import weakref
from dataclasses import replace

import comfy.model_management
import pytest
import torch
from animatelcm.demo.model import load_demo_model
from animatelcm.host.controls import StrengthControl
from animatelcm.host.image_to_video import ENCODERS, apply_image_to_video
from animatelcm.host.motion import KEY, applied_to, apply_motion, load_motion
from animatelcm.host.motion_lora import with_motion_lora
from animatelcm.host.saving import write_motion
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host.training.training_data import data, distil_motion_module, request, train_image_encoder
from animatelcm.tests.motion import loras_by_hand as by_hand
from animatelcm.tests.motion.files_by_hand import save
from animatelcm.tests.support import (
    SCHEDULE,
    loaded_image_to_video,
    loaded_motion,
    motion_file,
    motion_module,
    noise_for,
    run,
    tiny_model,
)

SHAPES = {key: weight.shape for key, weight in motion_module().state_dict().items()}
PAIRS = {layer: (0.1 * down, 0.1 * up) for layer, (down, up) in by_hand.pairs(SHAPES).items()}
CHANGES = {"plain": (), "zoom": (("zoom", 0.5),), "much zoom": (("zoom", 1.5),), "pan": (("pan", -0.5),),
           "zoom and pan": (("zoom", 0.5), ("pan", 1.0))}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loras")
    pans = {layer: (down.flip(0), 2 * up) for layer, (down, up) in by_hand.attention_only(PAIRS).items()}
    return {"zoom": save(folder / "zoom.safetensors", by_hand.motion_director(PAIRS)),
            "pan": save(folder / "pan.safetensors", by_hand.animatediff(pans))}


@pytest.fixture(scope="module")
def changed(motion, files):
    """The module under each of CHANGES, as the nodes make it."""
    return {name: with_loras(motion, files, loras) for name, loras in CHANGES.items()}


@pytest.fixture(scope="module")
def merged(changed, tmp_path_factory):
    """The same weights, each from a file that has no LoRA."""
    return {name: saved_and_loaded(motion, tmp_path_factory.mktemp("merged")) for name, motion in changed.items()}


def with_loras(motion, files, loras):
    for name, strength in loras:
        motion, _ = with_motion_lora(motion, files[name], strength)
    return motion


def saved_and_loaded(motion, folder):
    write_motion(motion, folder / "merged.safetensors")
    return load_motion(folder / "merged.safetensors")


def at_once(model, motions):
    for motion in motions:
        model = apply_motion(model, motion, 0.5, SCHEDULES[SCHEDULE])
    return model


def one_after_the_other(model, motions):
    for index, motion in enumerate(motions):
        control = StrengthControl(index / len(motions), (index + 1) / len(motions))
        model = at_once(model, [replace(motion, controls=(control,))])
    return model


def weights(motion):
    return {key: weight.clone() for key, weight in motion.patcher.model.state_dict().items()}


@pytest.mark.parametrize("together", [at_once, one_after_the_other])
@pytest.mark.parametrize("names", [
    *itertools.permutations(["plain", "zoom"]), *itertools.permutations(["zoom", "much zoom"]),
    ("plain", "much zoom", "pan"), ("pan", "plain", "much zoom"), ("much zoom", "pan", "plain"),
    ("zoom", "zoom and pan", "zoom")])
def test_each_acts_with_its_own_weights(model, changed, merged, names, together):
    def sampled(motions):
        return run(together(model, [motions[name] for name in names]), steps=len(names))

    base, before = run(model), weights(changed["plain"])
    expected = sampled(merged)
    assert torch.equal(sampled(changed), expected)
    assert not torch.equal(expected, run(together(model, [merged["plain"]] * len(names)), steps=len(names)))
    # Nothing stays for a run that follows.
    assert torch.equal(sampled(changed), expected)
    assert torch.equal(run(model), base)
    comfy.model_management.unload_all_models()
    assert all(torch.equal(weight, before[key]) for key, weight in weights(changed["plain"]).items())


def test_other_models_of_the_same_files_are_not_touched(model, changed, merged):
    """Whichever MODEL ran before, with one of them, with another or with both."""
    def each_of(motions):
        return [at_once(model, [motions[name] for name in names])
                for names in (["plain"], ["zoom"], ["plain", "zoom"], ["zoom", "plain"])]

    expected, models = [run(each) for each in each_of(merged)], each_of(changed)
    for index in (0, 1, 2, 3, 1, 0, 3, 0, 2, 1):
        assert torch.equal(run(models[index]), expected[index])


def test_equal_weights_are_loaded_once(model, motion, files, changed):
    def networks(*motions):
        patchers = at_once(model, motions).get_additional_models_with_key(KEY)
        return len(patchers), len({patcher.model for patcher in patchers})

    again = with_loras(motion, files, CHANGES["zoom and pan"])
    turned = with_loras(motion, files, reversed(CHANGES["zoom and pan"]))
    assert networks(motion, motion) == networks(changed["zoom and pan"], again) == (1, 1)
    assert networks(motion, changed["zoom"], changed["much zoom"], motion, again) == (4, 4)
    # Sums in another order are other numbers.
    assert networks(changed["zoom and pan"], turned) == (2, 2)


def test_equal_loras_put_on_by_two_nodes_act_as_one(model, motion, files, changed, merged):
    again = with_loras(motion, files, CHANGES["zoom"])
    both = run(at_once(model, [changed["zoom"], again, motion]))
    assert torch.equal(both, run(at_once(model, [merged["zoom"], merged["zoom"], merged["plain"]])))


def test_a_lora_costs_no_copy_of_the_weights(model, motion, changed):
    def places(name):
        return {key: weight.data_ptr() for key, weight in changed[name].patcher.model.state_dict().items()}

    comfy.model_management.unload_all_models()
    assert all(places(name) == places("plain") for name in changed)
    run(at_once(model, changed.values()))
    comfy.model_management.unload_all_models()
    assert all(places(name) == places("plain") for name in changed)


def test_a_module_that_nothing_holds_is_freed_at_once(model, files, tmp_path):
    own = loaded_image_to_video(tmp_path)
    changed = with_loras(own, files, CHANGES["zoom"])
    applied = apply_image_to_video(at_once(model, [changed]), own, noise_for(1), 0.8, (1.0,) * 4, 1.0, None)
    run(applied)
    networks = [weakref.ref(patcher.model) for patcher in (own.patcher, changed.patcher, changed.encoder)]
    gc.disable()
    try:
        # The module with the LoRA does not keep the one without it.
        del own, applied
        # The host lets go of what it had loaded when something else is.
        run(model)
        assert [network() is None for network in networks] == [True, False, False]
        del changed
        assert [network() is None for network in networks] == [True, True, True]
    finally:
        gc.enable()


def test_an_image_to_video_module_and_its_lora(model, files, tmp_path):
    def animated(motions):
        latents = noise_for(1, seed=5) / 0.18215
        animating = model
        for motion in motions:
            animating = apply_image_to_video(animating, motion, latents, 0.8, (0.5,) * 4, 0.5, None)
        return animating

    plain = loaded_image_to_video(tmp_path)
    changed = with_loras(plain, files, CHANGES["zoom"])
    merged = saved_and_loaded(changed, tmp_path)
    for own, reference in (((plain, changed), (plain, merged)), ((changed, plain), (merged, plain))):
        both = animated(own)
        assert torch.equal(run(both), run(animated(reference)))
        # The LoRA is none of the encoder's.
        assert len(both.get_additional_models_with_key(ENCODERS)) == 1


def test_weights_that_were_taken_away_are_missed(model, motion, changed):
    applied = at_once(model, [motion, changed["zoom"]])
    applied.set_additional_models(KEY, applied.get_additional_models_with_key(KEY)[:1])
    with pytest.raises(RuntimeError, match="another node has replaced its additional models"):
        run(applied)


def test_patches_that_others_put_on_the_same_weights_are_refused(model, motion):
    patcher = motion.patcher.clone()
    key = "mid_block.motion_modules.0.proj_out.weight"
    patcher.add_patches({key: ("diff", (torch.ones(SHAPES[key]),))})
    foreign = replace(motion, patcher=patcher)
    for motions in ((motion, foreign), (foreign, motion)):
        with pytest.raises(ValueError, match="another pack has changed the weights"):
            at_once(model, motions)


def test_the_order_of_the_weights_does_not_matter(model, motion, changed):
    """The host rebuilds the list for each GPU."""
    applied = at_once(model, [motion, changed["zoom"]])
    expected = run(applied)
    applied.set_additional_models(KEY, applied.get_additional_models_with_key(KEY)[::-1])
    assert torch.equal(run(applied), expected)


def copies_for_another_gpu(model):
    """Return the additional models that the host makes for another GPU, as it makes them."""
    made = {}
    for patcher in model.get_additional_models():
        if patcher.clone_base_uuid not in made:
            made[patcher.clone_base_uuid] = patcher.deepclone_multigpu(models_cache=made)
    return [made[patcher.clone_base_uuid] for patcher in model.get_additional_models()]


def assert_equal_copies(model):
    for own, copied in zip(model.get_additional_models(), copies_for_another_gpu(model), strict=True):
        assert copied.model is not own.model
        comfy.model_management.load_models_gpu([own, copied])
        assert all(torch.equal(weight, own.model.state_dict()[key])
                   for key, weight in copied.model.state_dict().items())


def test_another_gpu_gets_each_of_them(model, changed):
    assert_equal_copies(at_once(model, [changed["plain"], changed["zoom"], changed["much zoom"]]))


def test_another_gpu_gets_what_was_applied_after_it_was_asked_for(model, changed):
    """The host then adds what is new to the MODEL's copy, and takes away what is gone."""
    model.cached_patcher_init = (lambda: tiny_model(), ())
    first = at_once(model, [changed["zoom"]])
    copied = first.deepclone_multigpu()
    first.set_additional_models("multigpu", [copied])
    second = at_once(first, [changed["plain"], changed["much zoom"]])
    second.match_multigpu_clones()
    [copied] = second.get_additional_models_with_key("multigpu")
    assert applied_to(copied) == applied_to(second)
    expected = run(at_once(tiny_model(), [changed["zoom"], changed["plain"], changed["much zoom"]]))
    assert torch.equal(run(copied), expected)


def test_another_gpu_gets_what_was_loaded_whatever_the_file_is_now(model, tmp_path):
    kept = loaded_motion(tmp_path, seed=7)
    expected = run(at_once(model, [kept]))
    motion_file(tmp_path, seed=8)
    (tmp_path / "motion-8.safetensors").replace(tmp_path / "motion-7.safetensors")
    [copied] = copies_for_another_gpu(at_once(model, [kept]))
    assert torch.equal(run(at_once(model, [replace(kept, patcher=copied)])), expected)


def test_the_demo_model_can_be_copied_to_another_gpu():
    model, _, _ = load_demo_model()
    copied = model.deepclone_multigpu()
    assert copied.model is not model.model
    weights = copied.model.state_dict()
    assert all(torch.equal(weight, weights[key]) for key, weight in model.model.state_dict().items())


def test_another_gpu_gets_what_was_just_trained(model, motion, files, output):
    trained, _, _ = distil_motion_module(model, motion, None, data(), request("motion").distilling("none", True))
    followed, _ = train_image_encoder(model, trained, False, data(), request("adapt"))
    changed = with_loras(trained, files, CHANGES["zoom"])
    animated = apply_image_to_video(model, followed, noise_for(1) / 0.18215, 0.8, (1.0,) * 4, 1.0, None)
    both = at_once(animated, [changed])
    run(both)
    assert_equal_copies(both)


def test_a_trained_module_and_its_lora(model, motion, files, tmp_path, output):
    trained, _, _ = distil_motion_module(model, motion, None, data(), request("motion").distilling("none", True))
    changed = with_loras(trained, files, CHANGES["zoom"])
    merged = saved_and_loaded(changed, tmp_path)
    assert torch.equal(run(at_once(tiny_model(), [changed, trained])), run(at_once(tiny_model(), [merged, trained])))

"""What is said when a run begins in a way that a motion module was not made for: on its node and in the log."""

import logging
import sys
from dataclasses import replace
from types import SimpleNamespace

import comfy.sample
import comfy.samplers
import pytest
import torch
from animatelcm.host import advice
from animatelcm.host.advice import Facts, Recipe, about_frames, about_masks, about_sampling, recipe_of
from animatelcm.host.rolling import RollingSampler
from animatelcm.host.sampling import lcm_sampler, scheduled_sigmas
from animatelcm.keyframes.curve import parse_curve
from animatelcm.motion.trained import Trained
from animatelcm.nodes.controls import MotionControl
from animatelcm.nodes.image_to_video import ImageToVideo
from animatelcm.nodes.motion import ApplyMotionModule
from animatelcm.samplers.rolling import Rolling
from animatelcm.tests.support import conditioning, loaded_image_to_video, noise_for, run, with_windows
from comfy_extras.nodes_custom_sampler import DualCFGGuider, Noise_RandomNoise

NODE = "12:3"
FITTING = Facts(frames=16, windows=False, steps=4, share=1.0, cfg=1.0, sampler="lcm", patched=False)
MANY = replace(FITTING, steps=25, cfg=7.5, sampler="dpmpp_2m")
FAMILIES = {
    "AnimateLCM": "4 steps, cfg 1, sampler lcm, scheduler simple",
    "Lightning": "8 steps, cfg 1, sampler euler, scheduler simple",
    "AnimateDiff": "25 steps, cfg 7.5, any sampler",
    "phased": Trained(8).sampling,
    "unguided": Trained(4, guided=False).sampling,
}


@pytest.fixture
def shown(monkeypatch):
    """What a running host shows on each node: the last text counts."""
    texts = {}
    server = SimpleNamespace(
        client_id="page", send_progress_text=lambda text, node_id, page: texts.update({node_id: text}))
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=server)))
    return texts


def placed(node, place=NODE):
    """Return the node's class as the host prepares it for a place in the graph."""
    return type(node.__name__, (node,), {"hidden": SimpleNamespace(unique_id=place)})


def apply(model, motion, place=NODE):
    return placed(ApplyMotionModule, place).execute(model, motion, 1.0, "auto").result[0]


def recipe(motion, family):
    lightning = {"schedule": "AnimateDiff"} if family in ("Lightning", "AnimateDiff") else {}
    return recipe_of(replace(motion, sampling=FAMILIES[family], **lightning))


@pytest.mark.parametrize(("frames", "said"), [(1, "the video has 1 frame,"), (8, "has 8 frames,"), (15, "15")])
def test_fewer_frames_than_the_module_was_trained_on_are_said_on_its_node(model, motion, shown, caplog, frames, said):
    applied = apply(model, motion)
    plain = shown[NODE]
    result = run(applied, num_frames=frames, sampler="lcm")
    assert result.isfinite().all()
    # Before all else, which may not fit on the node.
    [note] = [line for line in shown[NODE].removesuffix(plain).splitlines() if line]
    assert note.startswith("note: ") and said in note and "trained on 16" in note and "to 16" in note
    [record] = [each for each in caplog.records if each.name == advice.__name__]
    assert record.levelno == logging.WARNING and motion.name in record.message and said in record.message


def test_the_next_run_takes_it_back(model, motion, shown):
    applied = apply(model, motion)
    plain = shown[NODE]
    run(applied, num_frames=2, sampler="lcm", steps=1)
    assert shown[NODE] != plain
    run(applied, num_frames=16, sampler="lcm", steps=1)
    assert shown[NODE] == plain


def test_nothing_is_said_where_nothing_is_wrong(model, motion, shown, caplog):
    applied = apply(model, motion)
    plain = shown[NODE]
    for windowed in (applied, with_windows(applied, 16, 4)):
        run(windowed, num_frames=20, sampler="lcm", steps=4, cfg=2.0)
    assert shown[NODE] == plain
    assert [each for each in caplog.records if each.name == advice.__name__] == []


def test_saying_changes_nothing(model, motion, shown):
    from animatelcm.host.motion import apply_motion
    from animatelcm.samplers.schedules import SCHEDULES

    by_hand = apply_motion(model, motion, 1.0, SCHEDULES[motion.schedule])
    assert torch.equal(run(apply(model, motion), cfg=3.0), run(by_hand, cfg=3.0))


def test_image_to_video_says_it_too(model, tmp_path, shown):
    node = placed(ImageToVideo, "5")
    vae = SimpleNamespace(encode=lambda images: torch.ones(1, 4, 8, 8))
    applied, _ = node.execute(model, loaded_image_to_video(tmp_path), vae, torch.rand(1, 64, 64, 3), 64, 64, 4, 0.8,
                              1.0, "auto", level_1_weight=1.0, level_2_weight=1.0, level_3_weight=1.0,
                              level_4_weight=1.0).result
    assert "reference 64 x 64" in shown["5"]
    run(applied, cfg=7.0, sampler="dpmpp_2m", steps=9)
    for said in ("reference 64 x 64", "the video has 4 frames", "cfg is 7,", "the sampler is dpmpp_2m",
                 "made for 4 steps, the run has 9"):
        assert said in shown["5"]


def test_each_node_says_what_concerns_its_own_module(model, motion, shown):
    both = apply(apply(model, motion, "1"), replace(motion, config=replace(motion.config, max_frames=4)), "2")
    run(both, num_frames=4, sampler="lcm")
    assert "trained on 16" in shown["1"] and "note" not in shown["2"]


def test_modules_for_parts_of_the_sampling_or_of_several_kinds_say_nothing_about_it(model, motion, shown):
    part = MotionControl.execute(motion, 0.5, 1.0, "").result[0]
    other = replace(motion, sampling=FAMILIES["AnimateDiff"])
    for applied in (apply(model, part), apply(apply(model, motion), other)):
        run(applied, num_frames=16, cfg=7.0, steps=1)
        assert "note" not in shown[NODE]


def test_the_guider_for_two_conditionings_is_asked_for_both_numbers(model, motion, shown):
    guider = DualCFGGuider.execute(apply(model, motion), conditioning(1), conditioning(2), conditioning(3), 1.0, 5.0,
                                   "regular").result[0]
    noise = Noise_RandomNoise(0).generate_noise({"samples": noise_for(4)})
    with torch.inference_mode():
        guider.sample(noise, torch.zeros_like(noise), comfy.samplers.sampler_object("lcm"),
                      torch.tensor([1.0, 0.0]), disable_pbar=True)
    assert "cfg is 5," in shown[NODE]


@pytest.mark.parametrize(("cfg", "said"), [([1.0, 6.0], "cfg is 6,"), ([1.0, 1.0], None), (None, None),
                                           (torch.tensor([1.0, 4.0]), "cfg is 4,")])
def test_a_guider_of_another_pack_may_have_a_number_for_each_step(model, motion, shown, cfg, said):
    class OfSteps(comfy.samplers.CFGGuider):
        def predict_noise(self, x, timestep, model_options=None, seed=None):
            return comfy.samplers.sampling_function(self.inner_model, x, timestep, self.conds["negative"],
                                                    self.conds["positive"], 1.0, model_options, seed=seed)

    guider, noise = OfSteps(apply(model, motion)), noise_for(16)
    with torch.inference_mode():
        guider.set_conds(conditioning(1), conditioning(2))
        guider.set_cfg(cfg)
        guider.sample(noise, torch.zeros_like(noise), comfy.samplers.sampler_object("lcm"),
                      torch.tensor([1.0, 0.0]), disable_pbar=True)
    assert said in shown[NODE] if said else "cfg is" not in shown[NODE]


def test_in_windows_their_frames_count(model, motion, shown):
    run(with_windows(apply(model, motion)), num_frames=20, steps=1, sampler="lcm")
    assert "the context windows have 4 frames" in shown[NODE] and "context_length to 16" in shown[NODE]


def test_a_module_that_knows_fewer_frames_was_trained_on_fewer():
    assert about_frames(8, replace(FITTING, frames=8)) == []
    assert len(about_frames(8, replace(FITTING, frames=7))) == 1


def test_noise_masks_that_may_be_too_few_are_said(model, motion, shown):
    masks = torch.ones(16, 1, 8, 8)
    masks[::8] = 0
    assert "repeat after 8 frames" in about_masks(masks)[0]
    assert about_masks(None) == about_masks(masks[:8]) == []
    noise = noise_for(16)
    comfy.sample.sample(apply(model, motion), noise, 1, 1.0, "lcm", "simple", conditioning(1), conditioning(2), noise,
                        noise_mask=masks[:8], disable_pbar=True, seed=0)
    assert "repeat after 8 frames" in shown[NODE]


@pytest.mark.parametrize(("family", "changes", "said"), [
    ("AnimateLCM", {"cfg": 7.5}, ["cfg is 7.5"]),
    ("AnimateLCM", {"cfg": 2.1}, ["cfg is 2.1"]),
    ("AnimateLCM", {"steps": 25}, ["made for 4 steps, the run has 25"]),
    ("AnimateLCM", {"sampler": "dpmpp_2m"}, ["the sampler is dpmpp_2m"]),
    ("AnimateLCM", {"steps": 20, "cfg": 8.0, "sampler": "heun"}, ["cfg is 8", "the sampler is heun", "has 20"]),
    ("Lightning", {"steps": 4, "sampler": "euler"}, ["made for 8 steps, the run has 4: so few"]),
    ("Lightning", {"steps": 9, "sampler": "euler"}, ["made for 8 steps, the run has 9: more"]),
    ("Lightning", {"steps": 8, "sampler": "lcm"}, ["the sampler is lcm, but the module was made for euler"]),
    ("AnimateDiff", {"steps": 4, "cfg": 7.5}, ["made for 25 steps, the run has 4: so few"]),
    ("phased", {"steps": 8, "sampler": "lcm"}, ["the sampler is lcm, but the module was made for euler"]),
    ("phased", {"steps": 8, "sampler": "euler", "cfg": 4.0}, ["made for 1: more than 2 burns the colours. Set"]),
    ("unguided", {"sampler": "euler"}, ["cfg is 1, but the module was made for 2 to 7, since its teacher had no guid"]),
    ("unguided", {"sampler": "euler", "cfg": 9.0}, ["made for 2 to 7: more than 7 burns the colours. Set cfg to 2"]),
])
def test_settings_that_a_file_was_not_made_for_are_said(motion, family, changes, said):
    lines = about_sampling(recipe(motion, family), replace(FITTING, **changes))
    assert len(lines) == len(said)
    assert all(words in line for words, line in zip(said, lines, strict=True))


@pytest.mark.parametrize(("family", "sampler", "phases", "said"), [
    *(("AnimateLCM", sampler, 1, False) for sampler in (
        lcm_sampler(1.0), lcm_sampler(0.0), lcm_sampler(0.5, auto=True), RollingSampler(Rolling(8)))),
    ("Lightning", lcm_sampler(1.0), 1, True),
    ("Lightning", lcm_sampler(0.3, parse_curve("0: 1, 3: 0", 0, 1)), 1, True),
    ("Lightning", lcm_sampler(1.0, auto=True), 1, True),
    ("Lightning", RollingSampler(Rolling(8)), 1, True),
    ("Lightning", lcm_sampler(0.0), 1, False),
    ("Lightning", RollingSampler(Rolling(8, gamma=0.0)), 1, False),
    ("phased", lcm_sampler(1.0), 4, True),
    ("phased", RollingSampler(Rolling(8)), 4, True),
    ("phased", lcm_sampler(1.0, auto=True), 4, False),
    ("phased", RollingSampler(Rolling(8), auto=True), 4, False),
])
def test_our_own_samplers_are_right_where_they_add_the_noise_that_the_file_was_made_for(
        model, motion, shown, family, sampler, phases, said):
    made = replace(motion, sampling=FAMILIES[family], trained=replace(motion.trained, phases=phases))
    applied = apply(model, made)
    noise, (sigmas, _) = noise_for(16), scheduled_sigmas(applied, 4)
    comfy.sample.sample_custom(applied, noise, 1.0, sampler, sigmas, conditioning(1), conditioning(2), noise,
                               disable_pbar=True, seed=0)
    assert ("made for euler, which adds no fresh noise. Set stochasticity to 0" in shown[NODE]) == said
    assert ("the sampler is" in shown[NODE]) == ("stochasticity" in shown[NODE]) == said


@pytest.mark.parametrize(("family", "facts"), [
    ("AnimateLCM", FITTING),
    *(("AnimateLCM", replace(FITTING, steps=steps)) for steps in (1, 2, 8)),
    *(("AnimateLCM", replace(FITTING, sampler=sampler)) for sampler in ("euler", "euler_ancestral", None)),
    ("AnimateLCM", replace(FITTING, cfg=2.0)),
    # Half of the steps, in the first of two samplers, and a given video changed with denoise.
    ("AnimateLCM", replace(FITTING, steps=2, share=0.5)),
    ("Lightning", replace(FITTING, steps=8, sampler="euler")),
    ("Lightning", replace(FITTING, steps=4, share=0.5, sampler="euler")),
    ("AnimateDiff", MANY),
    ("AnimateDiff", replace(MANY, steps=8, share=0.3)),
    ("phased", replace(FITTING, steps=8, sampler="euler")),
    ("phased", replace(FITTING, steps=8, sampler=None)),
    *(("unguided", replace(FITTING, sampler="euler", cfg=cfg)) for cfg in (2.0, 7.0)),
    # A LoRA of the image model may be what makes few steps enough.
    ("AnimateDiff", replace(FITTING, patched=True)),
])
def test_settings_that_fit_are_passed_over(motion, family, facts):
    assert about_sampling(recipe(motion, family), facts) == []


def test_a_family_that_is_not_known_is_judged_by_its_schedule(motion):
    assert recipe_of(replace(motion, sampling=None)) == Recipe(None, True)
    assert recipe_of(replace(motion, sampling=None, schedule="AnimateDiff")) == Recipe(25, False)


@pytest.mark.parametrize(("denoise", "steps"), [(1.0, 4), (0.5, 4), (0.3, 3)])
def test_the_share_of_the_sampling_is_read_from_the_noise_levels(model, motion, monkeypatch, denoise, steps):
    seen = []
    monkeypatch.setattr(advice, "about_frames", lambda trained, facts: seen.append(facts) or [])
    noise = noise_for(2)
    comfy.sample.sample(apply(model, motion), noise, steps, 1.0, "lcm", "simple", conditioning(1), conditioning(2),
                        noise, denoise=denoise, disable_pbar=True, seed=0)
    assert seen[0].steps == steps and seen[0].sampler == "lcm" and not seen[0].patched
    assert seen[0].share == pytest.approx(denoise, abs=0.06)

"""Recipes beyond the paper: what each sets, that its files are told apart, and how they are sampled."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from animatelcm.demo.files import MODELS, PASTEL, WEIGHTS
from animatelcm.host.motion import load_motion
from animatelcm.host.training import runs
from animatelcm.tools.demo import styles
from animatelcm.tools.demo.distil import settings
from animatelcm.tools.demo.latent_cache import BLOCK, Cache, Source
from animatelcm.tools.evaluation import beyond
from animatelcm.tools.evaluation.beyond import OPTIONS, PAPER, TABLE, UNGUIDED, Recipe, method
from animatelcm.tools.evaluation.trainings import Embedded
from animatelcm.training.config import DistillationConfig
from safetensors.torch import load_file

STAGES = ("lora", "t2v")
EVERY = [*TABLE, *(recipe for recipe, _ in OPTIONS), *UNGUIDED]


def of_stages(recipe):
    return tuple(replace(settings(stage, 20, 0), distillation=how(settings(stage, 20, 0).distillation))
                 for stage, how in zip(STAGES, (recipe.images, recipe.clips), strict=True))


def test_the_papers_recipe_is_the_demos_own():
    assert of_stages(PAPER) == tuple(settings(stage, 20, 0) for stage in STAGES)


def test_the_table_has_four_numbers_of_phases_with_and_without_terms_for_motion():
    found = [(recipe.phases, config.motion_weight > 0, config.own_samples) for recipe in TABLE
             for config in [recipe.clips(DistillationConfig())]]
    assert found == [(phases, motion, 0.5 * motion) for phases in (1, 2, 4, 8) for motion in (False, True)]


def test_no_two_recipes_are_the_same():
    assert len({of_stages(recipe) for recipe in EVERY}) == len({recipe.name for recipe in EVERY}) == len(EVERY)


def test_an_option_changes_what_it_says_of_a_recipe_of_the_table():
    known = {recipe.name: recipe for recipe in TABLE}
    for recipe, other in OPTIONS:
        ours, theirs = (vars(of_stages(each)[1].distillation) for each in (recipe, known[other]))
        assert {name for name in ours if ours[name] != theirs[name]} == set(recipe.changes), recipe.name


def test_an_unguided_teacher_leaves_captions_out():
    for recipe in UNGUIDED:
        for config in of_stages(recipe):
            assert (config.distillation.w_max, config.distillation.empty_captions) == (0.0, 0.1)


@pytest.fixture
def tiny(monkeypatch):
    """Latents that nobody drew, two frames or two images in a step."""
    for name, clips in (("frames_of_scenes", False), ("clips_of_scenes", True)):
        source = Source(name, BLOCK, clips)
        latents = torch.randn(source.shape, generator=torch.Generator().manual_seed(0)).half()
        monkeypatch.setattr(Embedded, name, Cache(source, latents))
    monkeypatch.setattr(beyond, "settings", lambda *args: replace(
        config := settings(*args), batch=min(config.batch, 2), num_frames=min(config.num_frames, 2)))


def trained(recipe, folder):
    """Return the files of a recipe, after one step of each stage."""
    made = method(recipe, 1, folder)
    made.train()
    return made.parts


def test_what_was_trained_says_how_and_is_not_trained_again(tmp_path, tiny, monkeypatch):
    recipe = Recipe("4 phases, motion terms", 4, changes=beyond.MOTION)
    parts = trained(recipe, tmp_path)
    motion = load_motion(parts.motion)
    assert motion.trained.phases == 4 and "motion" in motion.trained.about
    assert WEIGHTS not in parts.motion.parents
    monkeypatch.delattr(runs, "make_setting")
    assert trained(recipe, tmp_path) == parts
    # Another recipe of as many phases has the same spatial LoRA, and trains its module.
    with pytest.raises(NameError):
        trained(Recipe("4 phases", 4), tmp_path)


def test_several_bases_are_the_model_in_other_palettes(tmp_path, tiny, monkeypatch):
    asked = []

    def style(name, drawn, workspace, steps):
        asked.append((name, steps))
        lora = load_file(MODELS / PASTEL)
        return {key: tensor * (1 + len(asked)) for key, tensor in lora.items()}

    monkeypatch.setattr(beyond.styles, "style_lora", style)
    parts, of_one = (trained(recipe, tmp_path) for recipe in (beyond.SEVERAL, PAPER))
    assert asked == [("dusk", beyond.BASE_STEPS), ("faded", beyond.BASE_STEPS)]
    assert parts.motion != of_one.motion and parts.loras == of_one.loras
    # Neither is what the module is judged on.
    frames = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    shown = [palette(frames) for palette in (styles.dusk, styles.faded, styles.pastel)]
    assert all(not torch.allclose(one, other, atol=0.02) for one, other in combinations([*shown, frames], 2))
    assert all(each.min() >= 0 and each.max() <= 1 for each in shown)


def test_phases_are_sampled_without_fresh_noise(tmp_path):
    assert method(PAPER, 1, tmp_path).sampler == "lcm"
    assert {method(recipe, 1, tmp_path).sampler for recipe in TABLE if recipe.phases > 1} == {"euler"}
    assert {method(recipe, 1, tmp_path).scheduler for recipe in TABLE} == {"simple"}

"""The sections on what came after the paper: which rows they have, and what is said beside which row."""

from __future__ import annotations

import math

import pytest
import torch
from animatelcm.tools.evaluation import runner, sections
from animatelcm.tools.evaluation.beyond import CFGS, OPTIONS, TABLE
from animatelcm.tools.evaluation.methods import Method
from animatelcm.tools.evaluation.runner import Runner
from animatelcm.tools.evaluation.sections import JUDGED, SECTIONS
from animatelcm.tools.evaluation.verdicts import nearer

from .test_paper_table import Stub, scope_of

NEW = ("beyond", "options", "guidance", "bases")


class Stubbed(Stub):
    """Without clips: a negative prompt is obeyed as often as guidance is high."""

    def __init__(self, folder, number):
        super().__init__(number)
        self.folder = folder

    def avoided(self, method, steps, cfg, seed, prompts):
        return cfg / 10


@pytest.fixture
def scope(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "evidence", lambda *args: "any")
    # The fewer the steps, the larger the distance; phases are better by one.
    return scope_of(Stubbed(tmp_path, lambda method, steps, cfg, seed: 10 - steps - ("phases" in method.name) + cfg
                            + 0.01 * seed), tmp_path)


@pytest.mark.parametrize("name", NEW)
def test_a_section_can_be_written(scope, name):
    text = SECTIONS[name](scope).markdown()
    assert "{" not in text and "| method | steps | cfg |" in text


def test_all_recipes_are_there_at_all_numbers_of_steps(scope):
    section = SECTIONS["beyond"](scope)
    assert [(row.method, row.steps) for row in section.rows] == [
        (recipe.name, steps) for recipe in TABLE for steps in (1, 2, 4, 8)]
    assert "- **4 phases, 4 steps**, beside 1 phase: better: Fréchet distance (6.01 against 7.01)" in section.text
    assert (scope.docs / "paper-table-phases.png").is_file()


def test_an_option_is_held_against_the_recipe_that_it_changes(scope):
    section = SECTIONS["options"](scope)
    assert [row.method for row in section.rows] == list(dict.fromkeys(
        name for recipe, other in OPTIONS for name in (other, recipe.name)))
    for recipe, other in OPTIONS:
        assert f"- **{recipe.name}**, beside {other}:" in section.text


def test_there_is_no_negative_prompt_without_guidance(scope):
    rows = SECTIONS["guidance"](scope).rows
    assert [row.cfg for row in rows] == list(CFGS) * 4
    assert [row.figures["avoided"].mean for row in rows[:4]] == pytest.approx([math.nan, 0.2, 0.4, 0.7], nan_ok=True)
    assert SECTIONS["guidance"](scope).markdown().splitlines()[-16].endswith("|  |")


def test_bases_are_judged_on_one_that_no_module_has_seen(scope):
    rows = SECTIONS["bases"](scope).rows
    assert [row.method.endswith("pastel base") for row in rows] == [False, False, True, True]


def test_twice_the_texture_of_the_world_is_no_better_than_half_of_it():
    """Noise is counted as texture, and jitter as motion."""
    assert {name for name, score in JUDGED.items() if score is nearer} == {"texture", "change", "motion"}
    assert nearer(2.0, 1.0) == pytest.approx(nearer(0.5, 1.0))
    assert nearer(2.0, 1.0) < nearer(1.1, 1.0) < nearer(1.0, 1.0) == 0
    assert math.isnan(nearer(0.0, 1.0))


def test_a_negative_prompt_names_the_background_that_was_chosen_without_it(tmp_path, monkeypatch):
    asked = []

    def sampler(prompt, seed, settings, negative=""):
        asked.append((prompt, seed, negative))
        # What the negative prompt names goes, in every second clip; one clip is spoilt by any.
        return torch.full((1,), float(("sea" in negative and seed % 2) or (bool(negative) and seed % 4 == 3)))

    monkeypatch.setattr(runner, "DemoSampler", lambda parts: sampler)
    monkeypatch.setattr(runner, "backdrop_of", lambda clip: "snow" if clip.item() else "sea")
    monkeypatch.setattr(runner, "digest", lambda method: "any")
    assert Runner(tmp_path).avoided(Method("any", "lcm", "simple"), 4, 2.0, 0, 4) == 0.25
    (prompt, seed, none), (same, again, named), (*_, absent), *_ = asked
    assert (prompt, seed, none) == (same, again, "") and "sea" in named and "sea" not in absent and len(asked) == 12

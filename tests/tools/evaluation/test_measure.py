"""Clips are measured once, only what a prompt says counts, and the world itself gets full marks."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from animatelcm.demo.captions import caption, loose_caption
from animatelcm.demo.scenes import Scene, pose_of, render
from animatelcm.tools.demo.explained import Seen
from animatelcm.tools.evaluation import measure
from animatelcm.tools.evaluation.features import NUM_FEATURES
from animatelcm.tools.evaluation.frechet import statistics_of
from animatelcm.tools.evaluation.measure import (
    WORDS,
    Measured,
    Run,
    covering,
    measure_clip,
    measure_run,
    scenes,
    sum_up,
    world_statistics,
)

SCENE = Scene("horse", "left", "meadow")
ONE = Measured([0.0] * NUM_FEATURES, {"subject": True, "way": True, "backdrop": True}, 0.9, 0.002, 0.01, 1.0, 0.8, 0.9,
               0.1)


def shown(scene, explained=0.9):
    """Return what a clip of a scene shows, without a look at it."""
    clip = render(scene)
    return Seen(scene.subject, scene.way, scene.backdrop, explained, clip.centres, clip.mask)


@pytest.fixture
def seen(monkeypatch):
    """Let every clip show a scene."""
    return lambda scene: monkeypatch.setattr(measure, "see", lambda clip: shown(scene))


def test_the_worlds_own_clip_has_all_that_was_asked_for():
    clip = render(SCENE).frames
    found = measure_clip(clip, SCENE, caption(SCENE))
    assert found.obeyed == {"subject": True, "way": True, "backdrop": True}
    assert found.explained > 0.9 and found.texture > 0 and found.change > 0
    assert found.motion == pytest.approx(1, abs=0.25)
    assert found.layout > 0.85 and found.start > 0.8


def test_what_is_wrong_shows_where_it_belongs(seen):
    wrong = replace(SCENE, subject="cat", way="right", speed=SCENE.speed / 2, y=1.0)
    seen(wrong)
    found = measure_clip(render(wrong).frames, SCENE, caption(SCENE))
    assert found.obeyed == {"subject": False, "way": False, "backdrop": True}
    steps = [pose_of(scene).step.norm().item() for scene in (wrong, SCENE)]
    assert found.motion == pytest.approx(steps[0] / steps[1], rel=1e-4) and found.motion < 0.9
    assert found.layout < 0.8


def test_only_what_a_prompt_says_counts(seen):
    seen(replace(SCENE, subject="cat", backdrop="sea"))
    frames = render(SCENE).frames
    assert measure_clip(frames, SCENE, loose_caption(SCENE)).obeyed == {"subject": True, "way": True}
    assert measure_clip(frames, SCENE, "an insect in the meadow").obeyed == {"subject": False, "backdrop": False}


def test_scenes_in_place_ask_for_no_movement(seen):
    still = replace(SCENE, way="still")
    seen(still)
    assert measure_clip(render(still).frames, still, caption(still)).motion is None


def test_masks_cover_one_another_in_every_frame():
    left, right = torch.zeros(2, 4, 4), torch.zeros(2, 4, 4)
    left[:, :, :2] = 1
    right[0, :, 1:3] = 1
    assert covering(left, right).tolist() == pytest.approx([1 / 3, 0])
    assert covering(right, right).tolist() == [1, 0]


def test_seeds_ask_for_different_scenes_and_more_prompts_begin_like_fewer():
    assert scenes(1, 8)[:4] == scenes(1, 4) != scenes(2, 4)


def test_a_run_goes_on_after_what_it_has(tmp_path, monkeypatch):
    calls = []

    def sample(scene, number):
        calls.append(number)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return number

    prompts = [WORDS["class words"](scene) for scene in scenes(3, 4)]
    monkeypatch.setattr(measure, "measure_clip", lambda clip, scene, prompt: replace(
        ONE, texture=float(clip), obeyed={prompt: True}))
    record = tmp_path / "run.jsonl"
    with pytest.raises(KeyboardInterrupt):
        measure_run(sample, "class words", 3, 4, record)
    with record.open("a", encoding="utf-8") as file:
        file.write('{"features": [0.1')
    resumed = measure_run(sample, "class words", 3, 4, record)
    assert calls == [30_000, 30_001, 30_002, 30_002, 30_003]
    assert [(clip.texture, clip.obeyed) for clip in resumed] == [
        (30_000 + number, {prompt: True}) for number, prompt in enumerate(prompts)]
    assert measure_run(None, "class words", 3, 2, record) == resumed[:2]


def test_the_world_is_drawn_once_for_all_that_is_compared_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "WORLD_CLIPS", 3)
    first = world_statistics(tmp_path / "reference.jsonl")
    monkeypatch.delattr(measure, "render")
    again = world_statistics(tmp_path / "reference.jsonl")
    assert torch.equal(first.gaussian.mean, again.gaussian.mean) and len(first.scale) == NUM_FEATURES


@pytest.fixture(scope="module")
def compared():
    return statistics_of(torch.randn(200, NUM_FEATURES, generator=torch.Generator().manual_seed(0)).double())


def test_figures_are_means_and_the_distance(compared):
    there = [0.1] * NUM_FEATURES
    half = replace(ONE, features=there, obeyed={"subject": True, "way": False, "backdrop": False}, explained=0.5,
                   motion=0.5)
    one = sum_up([Run([ONE], [ONE]), Run([half], [ONE])], compared)
    assert (one.subject, one.way, one.backdrop, one.accuracy) == (1, 0.5, 0.5, pytest.approx(2 / 3))
    assert (one.explained, one.motion, one.layout, one.start) == pytest.approx((0.7, 0.75, 0.8, 0.9))
    far = sum_up([Run([replace(ONE, features=[9.0] * NUM_FEATURES), half], [ONE, ONE])], compared)
    assert far.frechet > one.frechet + 1


def test_texture_and_change_are_over_those_of_all_scenes_together(compared):
    # A plain background has next to no texture: what a clip adds to it is little beside that of the others.
    world = [replace(ONE, texture=0.004, change=0.02), replace(ONE, texture=0.0, change=0.0)]
    clips = [replace(ONE, texture=0.002, change=0.05), replace(ONE, texture=0.001, change=0.01)]
    found = sum_up([Run(clips, world)], compared)
    assert (found.texture, found.change) == pytest.approx((0.75, 3))
    assert math.isnan(sum_up([Run(clips, world[1:] * 2)], compared).texture)


def test_what_nobody_asked_for_is_no_figure(compared):
    loose = replace(ONE, obeyed={"subject": True, "way": False}, motion=None)
    found = sum_up([Run([loose, loose], [ONE, ONE])], compared)
    assert math.isnan(found.backdrop) and math.isnan(found.motion)
    assert found.accuracy == 0.5
    assert sum_up([Run([loose, ONE], [ONE, ONE])], compared).motion == 1

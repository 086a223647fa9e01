"""Clips are measured once, and the world itself gets full marks."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from animatelcm.demo import world
from animatelcm.tools.evaluation.features import NUM_FEATURES, features_of
from animatelcm.tools.evaluation.frechet import statistics_of
from animatelcm.tools.evaluation.measure import OBEYED, Measured, measure_clip, measure_run, scenes, sum_up


def render(scene, number):
    return world.render(scene)


@pytest.fixture(scope="module")
def compared():
    return statistics_of(features_of(world.render(scene) for scene in scenes(5, 40)))


def test_the_worlds_own_clip_has_all_that_was_asked_for():
    for scene in scenes(0, 3):
        seen = measure_clip(world.render(scene), scene)
        assert all(seen.obeyed.values()) and seen.change == pytest.approx(1)
        assert seen.motion == pytest.approx(1, abs=0.05)


def test_what_is_wrong_shows_where_it_belongs():
    asked = world.Scene("red", "square", "left", "quickly")
    seen = measure_clip(world.render(world.Scene("blue", "square", "right", "slowly")), asked)
    assert seen.obeyed == {"colour": False, "shape": True, "direction": False, "background": True}
    assert seen.motion == pytest.approx(world.SPEEDS["slowly"] / world.SPEEDS["quickly"], abs=0.05)
    assert measure_clip(torch.full((16, 3, 128, 128), 0.9), asked).motion is None


def test_seeds_ask_for_different_scenes_and_more_prompts_begin_like_fewer():
    assert scenes(1, 8)[:4] == scenes(1, 4) != scenes(2, 4)


def test_a_run_goes_on_after_what_it_has(tmp_path, monkeypatch):
    # What counts are the record and the seeds: a few frames of each clip, the world's own too, are enough.
    monkeypatch.setattr(world, "render", partial(world.render, frames=3))
    calls = []

    def sample(scene, number):
        calls.append(number)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return world.render(scene)

    record = tmp_path / "run.jsonl"
    with pytest.raises(KeyboardInterrupt):
        measure_run(sample, 3, 4, record)
    with record.open("a", encoding="utf-8") as file:
        file.write('{"features": [0.1')
    resumed = measure_run(sample, 3, 4, record)
    assert calls == [30_000, 30_001, 30_002, 30_002, 30_003]
    assert resumed == measure_run(render, 3, 4, tmp_path / "whole.jsonl")
    assert measure_run(None, 3, 2, record) == resumed[:2]


def test_figures_are_means_and_the_distance(compared, tmp_path):
    right = measure_run(render, 0, 6, tmp_path / "right.jsonl")
    wrong = measure_run(lambda scene, _: world.render(scene)[:, [2, 0, 1]], 0, 6, tmp_path / "wrong.jsonl")
    good, bad = sum_up(right, compared), sum_up(wrong, compared)
    assert (good.colour, good.shape, good.direction) == (1, 1, 1)
    assert bad.colour < 0.5 and bad.direction == 1
    assert bad.frechet > good.frechet + 1


def test_motion_is_unknown_where_no_object_was_seen(compared):
    blank = Measured([0.0] * NUM_FEATURES, dict.fromkeys(OBEYED, False), 1.0, None, 0.0, 0.0)
    seen = Measured([1.0] * NUM_FEATURES, blank.obeyed, 1.0, 0.5, 0.0, 0.0)
    assert math.isnan(sum_up([blank, blank], compared).motion)
    assert sum_up([blank, seen], compared).motion == 0.5

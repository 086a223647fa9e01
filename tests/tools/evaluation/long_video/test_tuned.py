"""Tuning the demo model's motion module to the rolling sampler."""

from __future__ import annotations

import pytest
import torch
from animatelcm.demo import model as demo_model
from animatelcm.demo.model import load_demo_model
from animatelcm.host.motion import load_motion
from animatelcm.tools.demo.sampler import DISTILLED
from animatelcm.tools.evaluation.long_video import tuned
from animatelcm.tools.evaluation.long_video.runner import LongRunner
from animatelcm.tools.evaluation.long_video.ways import ANCHORED, OWN, ROLLING, TUNED, WORLD, Way
from animatelcm.training.draws import Examples
from animatelcm.training.origin import Origin
from safetensors.torch import load_file


class OneClip:
    """Data in place of the world's, whose caches would take minutes to draw."""

    def context(self, captions):
        return torch.zeros(len(captions), 24, 64)

    def empty(self):
        return self.context([""])

    def origin(self):
        return Origin()

    def source(self, model, config, device):
        clip = torch.randn(1, config.num_frames, 4, 16, 16, generator=torch.Generator().manual_seed(0))
        return lambda number: Examples(clip, self.context(["a penguin"]))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(tuned, "CLIPS", 2)
    monkeypatch.setattr(tuned, "STEPS", 1)
    model = load_demo_model()
    monkeypatch.setattr(demo_model, "load_demo_model", lambda *weights: model)


def test_the_module_is_tuned_once_on_clips_that_it_made_itself(tmp_path, monkeypatch):
    parts = tuned.tuned(TUNED, DISTILLED, tmp_path)
    assert parts.loras == DISTILLED.loras and parts.motion.is_relative_to(tmp_path)
    clips = load_file(parts.motion.parent / "clips.safetensors")["latents"]
    assert clips.shape == (2, 16, 4, 16, 16) and clips.isfinite().all() and not torch.equal(clips[0], clips[1])
    before, after = (load_motion(path) for path in (DISTILLED.motion, parts.motion))
    assert after.trained.how == "tuned to the Rolling Sampler at 4 steps" and after.schedule == before.schedule
    old, new = (module.patcher.model.state_dict() for module in (before, after))
    assert old.keys() == new.keys() and any(not torch.equal(old[key], new[key]) for key in old)
    monkeypatch.setattr(tuned, "make_clips", None)
    written = parts.motion.stat().st_mtime_ns
    # With anchors it is the same module.
    assert tuned.tuned(Way("other", ANCHORED.rolling, tuned_on=OWN), DISTILLED, tmp_path) == parts
    assert parts.motion.stat().st_mtime_ns == written


def test_on_the_worlds_clips_none_are_made_and_other_ways_need_no_tuning(tmp_path, monkeypatch):
    monkeypatch.setattr(tuned, "make_clips", None)
    run = LongRunner(tmp_path, DISTILLED)
    assert run.parts_for(ROLLING) is DISTILLED
    monkeypatch.setattr(tuned, "data", lambda folder: OneClip())
    found = run.parts_for(Way("world", ROLLING.rolling, tuned_on=WORLD))
    assert found.motion.name == "world-4.safetensors" and found.motion.is_file()

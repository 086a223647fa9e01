"""What each measure sees of a made-up video."""

import math
from dataclasses import replace

import pytest
import torch
from animatelcm.demo.captions import caption
from animatelcm.demo.scenes import FASTEST, Scene, pose_of, render
from animatelcm.tools.demo.explained import Seen
from animatelcm.tools.evaluation.long_video import measure
from animatelcm.tools.evaluation.long_video.measure import JUMP, looked_at, measure_movement, measure_stretches

SCENE = Scene("horse", "left", "meadow")
SIDE = 32
STEP = float(pose_of(SCENE).step.norm())


def brighter(num_frames, by):
    """Return frames each of which is brighter than the one before, by a number or by one for each frame."""
    changes = torch.as_tensor(by, dtype=torch.float32).expand(num_frames - 1)
    return torch.cat([torch.zeros(1), changes.cumsum(0)]).view(-1, 1, 1, 1).expand(-1, 3, SIDE, SIDE)


def path(*steps):
    return torch.cat([torch.zeros(1), torch.tensor(steps).cumsum(0)]).unsqueeze(1) * torch.tensor([1.0, 0.0])


def movement(clip, centres=None, borders=(), scene=SCENE):
    centres = path(*[STEP] * (len(clip) - 1)) if centres is None else centres
    return measure_movement(clip, [centres], borders, scene)


def test_a_cut_at_a_border_is_a_seam_and_one_elsewhere_is_none():
    by = [0.001] * 31
    by[15] = 0.003
    clip = brighter(32, by)
    assert movement(clip, borders=[15]).seams == pytest.approx(3, rel=1e-3)
    assert movement(clip, borders=[14, 15]).seams == pytest.approx(2, rel=1e-3)
    assert movement(clip, borders=[7]).seams == pytest.approx(30 / 32, rel=1e-3)
    assert movement(clip, borders=[7]).highest == pytest.approx(3, rel=1e-3)


@pytest.mark.parametrize("borders", [[], list(range(31))])
def test_without_borders_or_without_an_elsewhere_there_is_no_such_figure(borders):
    assert math.isnan(movement(brighter(32, 0.001), borders=borders).seams)


def test_a_movement_that_begins_anew_is_a_restart_and_does_not_lengthen_the_path():
    steps = [STEP] * 24
    even = movement(brighter(25, 0.001), path(*steps))
    steps[7], steps[19] = -JUMP - 1, -JUMP + 0.5
    found = movement(brighter(25, 0.001), path(*steps))
    assert (even.restarts, even.motion) == (0, pytest.approx(1))
    assert found.restarts == pytest.approx(100 / 24)
    assert found.motion == pytest.approx((22 * STEP + JUMP - 0.5) / 23 / STEP)
    assert JUMP > 2 * FASTEST


def test_scenes_in_place_ask_for_no_movement():
    assert math.isnan(movement(brighter(8, 0.001), scene=replace(SCENE, way="still")).motion)


def test_all_changes_count_that_no_movement_explains():
    flicker = torch.zeros(40, 3, SIDE, SIDE)
    flicker[33] = 0.5
    assert movement(flicker).change > 0
    assert movement(torch.zeros(40, 3, SIDE, SIDE)).change == 0


def test_steps_between_two_stretches_are_none():
    apart = [path(*[STEP] * 15), path(*[STEP] * 15) + 60]
    found = measure_movement(brighter(80, 0.001), apart, [], SCENE)
    assert (found.restarts, found.motion) == (0, pytest.approx(1))


@pytest.fixture
def looking(monkeypatch):
    """Let a clip show that of some scenes which looks most like it, or the first one; return the lengths of all."""
    seen = []

    def look(*scenes):
        clips = [render(scene) for scene in scenes]

        def see(clip):
            seen.append(len(clip))
            away = [float((clip - known.frames).abs().mean()) if len(clip) == 16 else 0.0 for known in clips]
            scene, known = scenes[away.index(min(away))], clips[away.index(min(away))]
            return Seen(scene.subject, scene.way, scene.backdrop, 0.9, known.centres[:len(clip)],
                        known.mask[:len(clip)])

        monkeypatch.setattr(measure, "see", see)
        return seen

    return look


def test_stretches_show_what_becomes_of_a_video(looking):
    other = Scene("car", "right", "white")
    looking(SCENE, other)
    clip = torch.cat([render(SCENE).frames, render(other).frames])
    stretches, centres = measure_stretches(clip, caption(SCENE))
    assert [(one.begin, one.subject, one.backdrop) for one in stretches] == [
        (0, "horse", "meadow"), (16, "car", "white")]
    assert [one.obeyed for one in stretches] == [dict.fromkeys(("subject", "way", "backdrop"), right)
                                                 for right in (True, False)]
    assert stretches[0].colour == 0 and stretches[1].colour > 0.1
    assert stretches[0].texture > stretches[1].texture
    assert torch.equal(centres[1], render(other).centres)


@pytest.mark.parametrize(("num_frames", "begins"), [
    (10, [0]), (16, [0]), (31, [0]), (32, [0, 16]), (80, [0, 64]), (100, [0, 64, 84]), (256, [0, 64, 128, 192, 240])])
def test_the_first_and_the_last_frames_are_looked_at_and_some_between(num_frames, begins, looking):
    found = looked_at(num_frames)
    assert [frames.start for frames in found] == begins
    assert [len(frames) for frames in found] == [min(16, num_frames)] * len(begins)
    if num_frames < 40:
        lengths = looking(SCENE)
        measure_stretches(render(SCENE, num_frames).frames, caption(SCENE))
        assert lengths == [len(frames) for frames in found]

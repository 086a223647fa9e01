"""What each measure sees of a made-up video."""

import math
from dataclasses import replace

import pytest
import torch
from animatelcm.demo.captions import caption
from animatelcm.demo.scenes import FASTEST, Scene, pose_of, render
from animatelcm.tools.demo.explained import Seen
from animatelcm.tools.evaluation.long_video import measure
from animatelcm.tools.evaluation.long_video.measure import JUMP, measure_movement, measure_stretches

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
    return measure_movement(clip, centres, borders, scene)


def test_a_cut_at_a_border_is_a_seam_and_one_elsewhere_is_none():
    by = [0.001] * 31
    by[15] = 0.003
    clip = brighter(32, by)
    assert movement(clip, borders=[15]).seams == pytest.approx(3, rel=1e-3)
    assert movement(clip, borders=[14, 15]).seams == pytest.approx(2, rel=1e-3)
    assert movement(clip, borders=[7]).seams == pytest.approx(1, rel=1e-3)
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
    assert found.restarts == pytest.approx(100 / 25)
    assert found.motion == pytest.approx((22 * STEP + JUMP - 0.5) / 23 / STEP)
    assert JUMP > 2 * FASTEST


def test_scenes_in_place_ask_for_no_movement():
    assert math.isnan(movement(brighter(8, 0.001), scene=replace(SCENE, way="still")).motion)


def test_all_changes_count_that_no_movement_explains():
    flicker = torch.zeros(40, 3, SIDE, SIDE)
    flicker[33] = 0.5
    assert movement(flicker).change > 0
    assert movement(torch.zeros(40, 3, SIDE, SIDE)).change == 0


def test_stretches_show_what_becomes_of_a_video():
    """Of the world's own clips, one after the other."""
    other = Scene("car", "right", "white")
    clip = torch.cat([render(SCENE).frames, render(other).frames])
    stretches, centres = measure_stretches(clip, caption(SCENE))
    assert [(one.subject, one.backdrop) for one in stretches] == [("horse", "meadow"), ("car", "white")]
    assert [one.obeyed for one in stretches] == [dict.fromkeys(("subject", "way", "backdrop"), right)
                                                 for right in (True, False)]
    assert stretches[0].colour == 0 and stretches[1].colour > 0.1
    assert min(one.explained for one in stretches) > 0.85 and stretches[0].texture > stretches[1].texture
    assert (centres[:16] - render(SCENE).centres).norm(dim=1).median() < 4
    assert movement(clip, centres).restarts == pytest.approx(100 / 32)


@pytest.mark.parametrize(("num_frames", "lengths"), [
    (10, [10]), (16, [16]), (31, [31]), (32, [16, 16]), (50, [16, 16, 18])])
def test_frames_that_fill_no_stretch_belong_to_the_last(num_frames, lengths, monkeypatch):
    seen = []

    def see(clip):
        seen.append(len(clip))
        return Seen("horse", "left", "meadow", 0.9, torch.zeros(len(clip), 2), torch.zeros(len(clip), SIDE, SIDE))

    monkeypatch.setattr(measure, "see", see)
    stretches, centres = measure_stretches(brighter(num_frames, 0.001), caption(SCENE))
    assert seen == lengths and len(stretches) == len(lengths) and len(centres) == num_frames

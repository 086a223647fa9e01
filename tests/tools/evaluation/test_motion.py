"""Movement, flicker and length of path are told apart."""

from __future__ import annotations

import math

import pytest
import torch
from animatelcm.demo.scenes import FASTEST, SLOWEST, SMALLEST, Scene, pose_of, render
from animatelcm.tools.evaluation.motion import path_per_frame, unexplained_change


def moving_noise(step):
    """Return a clip that slides over a random picture by (x, y) pixels a frame."""
    picture = torch.rand(3, 160, 160, generator=torch.Generator().manual_seed(0))
    return torch.stack([picture[:, 40 + step[1] * t:104 + step[1] * t, 40 + step[0] * t:104 + step[0] * t]
                        for t in range(6)])


def test_a_still_clip_has_none():
    assert unexplained_change(torch.rand(1, 3, 64, 64).expand(5, 3, 64, 64)) == 0


@pytest.mark.parametrize("step", [(1, 0), (-3, 2), (6, -6)])
def test_movement_within_reach_is_explained(step):
    clip = moving_noise(step)
    inner = unexplained_change(clip)
    plain = (clip[1:] - clip[:-1]).abs().mean().item()
    # Only blocks at the side where new picture enters have no match.
    assert inner < 0.5 * plain
    assert unexplained_change(clip, reach=0) == pytest.approx(plain, rel=1e-5)


def test_movement_beyond_reach_is_not():
    assert unexplained_change(moving_noise((5, 0)), reach=4) > 0.2


def test_flicker_is_what_is_left():
    clip = render(Scene("car", "right", "white")).frames
    flicker = 0.04 * torch.tensor([1.0, -1.0]).repeat(8).view(16, 1, 1, 1)
    clean, flickering = unexplained_change(clip), unexplained_change(clip + flicker)
    assert clean < 0.02
    assert flickering - clean == pytest.approx(0.075, abs=0.015)


@pytest.mark.parametrize("speed", [SLOWEST, FASTEST])
def test_the_path_is_as_long_as_the_subject_is_fast(speed):
    scene = Scene("bee", "up", "sky", size=SMALLEST, speed=speed)
    # There may be less room than the fastest needs.
    asked = float(pose_of(scene).step.norm())
    assert path_per_frame(render(scene).centres) == pytest.approx(asked, rel=1e-5) and asked >= SLOWEST


def test_frames_without_an_object_are_passed_over():
    centres = torch.tensor([[0.0, 0.0], [3.0, 4.0], [math.nan, math.nan], [9.0, 9.0], [9.0, 10.0]])
    assert path_per_frame(centres) == pytest.approx(3)
    assert math.isnan(path_per_frame(torch.full((4, 2), math.nan)))

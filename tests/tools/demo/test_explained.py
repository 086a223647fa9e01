"""What a clip shows is found without a network, and a clip that shows less explains less."""

import random

import pytest
import torch
from animatelcm.demo.scenes import FRAMES, Scene, random_scene, render
from animatelcm.tools.demo.backdrop_seen import backdrop_of
from animatelcm.tools.demo.explained import see, way_of
from torch.nn import functional as F

SCENES = [random_scene(random.Random(f"explained {number}")) for number in range(6)]
FEW = list(range(0, FRAMES, 3))


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: f"{scene.subject} {scene.way} {scene.backdrop}")
def test_what_a_clip_of_the_world_shows_is_found(scene):
    seen = see(render(scene).frames)
    assert (seen.subject, seen.way, seen.backdrop) == (scene.subject, scene.way, scene.backdrop)
    assert seen.explained > 0.85
    moved = render(scene).centres
    assert (seen.centres - moved).norm(dim=1).median() < 4


def test_a_broken_subject_explains_less_and_nothing_explains_next_to_nothing():
    clip = render(Scene("penguin", "still", "white"))
    whole = see(clip.frames).explained
    torn = torch.cat([clip.frames[..., 64:, :], clip.frames[..., :64, :]], dim=2)
    assert whole > 0.95 and see(torn).explained < 0.6
    faint = clip.backdrop + 0.3 * (clip.frames - clip.backdrop)
    assert see(faint).explained < 0.6
    assert see(clip.backdrop).explained < 0.1
    assert see(render(Scene("penguin", "still", "sea")).backdrop).explained < 0.4


def test_the_way_is_that_of_the_clip_and_not_of_how_the_subject_looks():
    frames = render(Scene("car", "right", "meadow")).frames
    assert see(frames.flip(0)).way == "left"
    assert see(frames[:1].expand(FRAMES, -1, -1, -1)).way == "still"


def test_a_straight_path_has_its_way():
    time = torch.arange(16.0)
    for way, step in {"left": (-2, 0.2), "up": (0.3, -1.6), "down": (0, 1.6), "still": (0.3, 0.3)}.items():
        assert way_of(time.unsqueeze(1) * torch.tensor(step)) == way


def test_backgrounds_are_told_apart_without_a_subject_and_with_another():
    for backdrop in ("sea", "night", "snow", "yellow"):
        clip = render(Scene("bee", "left", backdrop, seed=5))
        assert backdrop_of(clip.backdrop[FEW]) == backdrop_of(clip.frames[FEW]) == backdrop


def test_a_blurred_subject_is_still_known():
    frames = render(Scene("rocket", "up", "night")).frames
    soft = F.interpolate(F.avg_pool2d(frames, 4), scale_factor=4, mode="bilinear")
    assert see(soft).subject == "rocket"

"""The world's clips show what their captions say, as the detector reads them."""

import random

import pytest
import torch
from animatelcm.demo import world
from animatelcm.tools.demo.detector import detect


@pytest.mark.parametrize("seed", range(24))
def test_detector_reads_back_what_was_drawn(seed):
    scene = world.random_scene(random.Random(seed))
    seen = detect(world.render(scene))
    assert (seen.colour, seen.shape, seen.direction, seen.background) == (
        scene.colour, scene.shape, scene.direction, scene.background)
    assert seen.speed == pytest.approx(world.SPEEDS[scene.speed], abs=0.3)


def test_a_still_clip_has_no_direction_and_a_blank_one_no_object():
    scene = world.Scene("red", "square", "left")
    still = world.render(scene)[:1].repeat(16, 1, 1, 1)
    assert detect(still).direction is None
    blank = detect(torch.full((16, 3, 128, 128), 0.9))
    assert (blank.colour, blank.shape, blank.direction, blank.background) == (None, None, None, "white")


def test_one_frame_shows_where_the_object_is_heading():
    frames = {direction: world.draw(world.Scene("blue", "circle", direction), torch.tensor([[64.0, 64.0]]))
              for direction in world.DIRECTIONS}
    names = list(frames)
    for first in names:
        for second in names:
            assert (first == second) == torch.equal(frames[first], frames[second])


def test_the_whole_path_stays_in_view():
    rng = random.Random(0)
    for _ in range(50):
        scene = world.random_scene(rng)
        radius = world.RADII[scene.size]
        centres = world.positions(scene)
        assert centres.min() >= radius
        assert centres.max() <= world.SIZE - radius

"""What is trained for the examples: each world differs in the one thing that its LoRA is to learn."""

from __future__ import annotations

import torch
from animatelcm.demo import world
from animatelcm.tools.demo import styles
from animatelcm.tools.demo.detector import detect

SCENE = world.Scene("red", "square", "right", "steadily", "medium", "white")


def test_a_swaying_object_still_goes_where_its_caption_says():
    clip = styles.swaying(SCENE)
    seen, straight = detect(clip), detect(world.render(SCENE))
    assert (seen.colour, seen.shape, seen.direction) == ("red", "square", "right")
    across = seen.centres[:, 1] - straight.centres[:, 1]
    assert across.max() > 0.8 * styles.REACH and across.min() < -0.8 * styles.REACH


def test_every_swaying_object_stays_in_view():
    for direction in world.DIRECTIONS:
        for x in (0.0, 1.0):
            clip = styles.swaying(world.Scene("blue", "circle", direction, "quickly", "big", "grey", x, x))
            assert detect(clip).shape == "circle"


def test_pastel_keeps_colours_apart():
    frames = world.render(SCENE)
    assert torch.allclose(2 * styles.pastel(frames) - 1, frames, atol=1e-6)
    assert styles.pastel(frames).min() >= 0.5

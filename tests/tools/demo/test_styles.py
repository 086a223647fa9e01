"""What is trained for the examples: each world differs in the one thing that its LoRA is to learn."""

from __future__ import annotations

import pytest
import torch
from animatelcm.demo.scenes import FRAMES, WAYS, Scene, render
from animatelcm.tools.demo import styles
from animatelcm.tools.demo.explained import see

ALL = list(range(FRAMES))


def test_a_swaying_subject_still_goes_where_its_caption_says():
    scene = Scene("rocket", "up", "white")
    clip, straight = styles.swaying(scene, ALL), render(scene)
    seen = see(clip.frames)
    assert (seen.subject, seen.way) == ("rocket", "up")
    across = clip.centres[:, 0] - straight.centres[:, 0]
    assert across.max() > 0.9 * styles.REACH and across.min() < -0.9 * styles.REACH


@pytest.mark.parametrize("way", WAYS)
def test_every_swaying_subject_stays_mostly_in_view(way):
    for place in (0.0, 1.0):
        scene = Scene("car", way, "meadow", x=place, y=place)
        inside, usual = (clip.mask.sum((1, 2)) for clip in (styles.swaying(scene, ALL), render(scene)))
        assert (inside / usual).min() > 0.75


def test_pastel_keeps_colours_apart():
    scene = Scene("car", "right", "meadow")
    frames = render(scene).frames
    assert torch.allclose(2 * styles.pastel(frames) - 1, frames, atol=1e-6)
    assert torch.equal(styles.in_pastel(scene, ALL).frames, styles.pastel(frames))
    assert torch.allclose(styles.plain(styles.pastel(frames)), frames.clamp(0, 1), atol=1e-6)

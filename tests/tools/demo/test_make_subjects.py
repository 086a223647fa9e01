"""The tool that cuts the subjects keeps them whole, in one place and at one scale."""

import io

import numpy as np
from animatelcm.demo.subjects import PHASES, SUBJECTS
from animatelcm.tools.demo.make_subjects import CELL, MARGIN, loop
from PIL import Image


def animation(frames):
    """Return an animated WebP of a red square, 40 pixels wide, that moves to the right by 2 pixels in each frame."""
    pictures = []
    for index in range(frames):
        picture = Image.new("RGBA", (256, 256))
        picture.paste((255, 0, 0, 255), (20 + 2 * index, 100, 60 + 2 * index, 140))
        pictures.append(picture)
    data = io.BytesIO()
    pictures[0].save(data, "WEBP", save_all=True, append_images=pictures[1:], lossless=True, duration=42)
    return data.getvalue()


def test_a_loop_is_cut_to_what_it_shows_and_keeps_its_movement():
    subject = SUBJECTS[0]
    sprites = loop(subject, animation(subject.loop[1]))
    assert len(sprites) == PHASES
    opacity = np.stack(sprites)[..., 3]
    seen = np.flatnonzero((opacity > 20).any((0, 1)))
    assert (seen[0], seen[-1]) == (MARGIN, CELL - MARGIN - 1)
    middles = (opacity * np.arange(CELL)).sum((1, 2)) / opacity.sum((1, 2))
    steps = np.diff(middles)
    assert steps.min() > 0 and steps.std() < 0.1 * steps.mean()
    colours = np.stack(sprites)[..., :3]
    assert (colours[..., 0] <= opacity).all() and colours[..., 1:].max() <= 2

"""Frames by the length of a video."""

import pytest
from animatelcm.keyframes.frames import read_frame


@pytest.mark.parametrize(("text", "num_frames", "frame"), [
    ("7", 4, 7), ("0%", 9, 0), ("100%", 9, 8), ("50%", 9, 4), ("50%", 4, 2), ("33%", 4, 1), ("49.9%", 4, 1),
    ("10%", 1, 0), ("max_f", 9, 8), ("max_f-1", 9, 8), ("max_f/2", 9, 4), ("max_f*0.5+1", 9, 5), ("max_f - 9", 9, 0),
    ("max_f+1", 9, 10), ("max_f*2/4", 8, 4)])
def test_the_length_decides_the_frame_and_half_of_one_is_the_later(text, num_frames, frame):
    assert read_frame(text).at(num_frames) == frame


@pytest.mark.parametrize("text", ["", "-1", "1.5", "101%", "max_f/0", "max_f*", "max_f--1", "8%8", "max_f*1*1*1*2"])
def test_anything_else_is_no_frame(text):
    assert read_frame(text) is None

"""Where parts of a video meet is where the host's windows overlap, and where frames leave the rolling queue."""

import comfy.context_windows
import pytest
import torch
from animatelcm.host.long_video import long_video
from animatelcm.host.motion import apply_motion
from animatelcm.samplers.rolling import sample_rolling
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.support import SCHEDULE, loaded_motion, tiny_model
from animatelcm.tools.evaluation.long_video.ways import (
    ANCHORED,
    LONG_VIDEO,
    MAIN,
    ONE_PIECE,
    ROLLING,
    WAYS,
    WINDOW,
    windows,
)


@pytest.mark.parametrize(("overlap", "num_frames"), [(4, 32), (4, 40), (4, 41), (4, 256), (8, 256), (4, 17)])
def test_windows_are_the_hosts(overlap, num_frames, tmp_path):
    model = long_video(apply_motion(tiny_model(), loaded_motion(tmp_path), 1.0, SCHEDULES[SCHEDULE]), WINDOW, overlap,
                       False, True)
    found = comfy.context_windows.create_windows_static_standard(
        num_frames, model.model_options["context_handler"], model.model_options)
    assert [list(window) for window in windows(num_frames, overlap)] == found


def test_borders_of_windows_are_their_overlaps():
    assert LONG_VIDEO.borders(28) == [11, 12, 13, 14, 15]
    # The last window is moved back, and shares more.
    assert LONG_VIDEO.borders(40) == [*range(11, 16), *range(23, 28)]
    assert LONG_VIDEO.borders(29) == [*range(11, 28)]


@pytest.mark.parametrize("way", [way for way in WAYS.values() if way.rolling], ids=lambda way: way.slug)
def test_borders_of_the_queue_are_where_frames_leave_it(way):
    table = torch.linspace(8, 0, way.steps + 1)
    blocks = [len(block) for block, _ in sample_rolling(
        lambda x, sigma, frames: x, lambda frames: torch.zeros(len(frames), 1, 1, 1), 45, table, way.rolling,
        lambda frames, level: torch.zeros(len(frames), 1, 1, 1))]
    ends = torch.tensor(blocks).cumsum(0) - 1
    assert way.borders(45) == ends[:-1].tolist()


def test_one_window_has_no_borders_and_one_piece_is_no_longer():
    assert not any(way.borders(16) for way in WAYS.values())
    assert (ONE_PIECE.frames(256), ROLLING.frames(256), LONG_VIDEO.frames(12)) == (16, 256, 12)


def test_names_are_of_one_way_each():
    assert len({way.slug for way in WAYS.values()}) == len(WAYS)
    assert all(way in WAYS.values() for way in MAIN)
    assert ANCHORED.slug == "rolling-sampler-4-anchors"

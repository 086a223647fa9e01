"""A folder's items and problems, and which clips a step sees."""

from __future__ import annotations

from collections import Counter

import pytest
from animatelcm.tests.training.clip_files import gradient, numbered_frames, write_video
from animatelcm.training.clips import ClipSettings, DataError
from animatelcm.training.data import Pick, picks, scan

SETTINGS = ClipSettings(num_frames=4, height=32, width=32)


def test_a_folder_gives_its_clips_in_order_with_their_captions(tmp_path):
    write_video(tmp_path / "b.mp4", numbered_frames(5), "a  cat\nwalking ")
    write_video(tmp_path / "sub" / "a.gif", numbered_frames(6), "\ufeffein Hündchen")
    (tmp_path / ".hidden").write_text("not looked at", encoding="utf-8")
    folder = scan(tmp_path, SETTINGS)
    assert [(item.path.name, item.caption, item.num_frames) for item in folder.items] == [
        ("b.mp4", "a cat walking", 5), ("a.gif", "ein Hündchen", 6)]
    assert not folder.problems


def test_everything_that_is_left_out_is_reported(tmp_path):
    write_video(tmp_path / "good.mp4", numbered_frames(5))
    write_video(tmp_path / "mute.mp4", numbered_frames(5), caption=None)
    write_video(tmp_path / "blank.mp4", numbered_frames(5), caption=" \n")
    write_video(tmp_path / "short.mp4", numbered_frames(3))
    write_video(tmp_path / "picture.png", gradient())
    write_video(tmp_path / "latin.mp4", numbered_frames(5)).with_suffix(".txt").write_bytes(b"caf\xe9")
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    (tmp_path / "broken.txt").write_text("a caption", encoding="utf-8")
    (tmp_path / "orphan.txt").write_text("a caption", encoding="utf-8")
    (tmp_path / "notes.md").write_text("notes", encoding="utf-8")
    folder = scan(tmp_path, SETTINGS)
    assert [item.path.name for item in folder.items] == ["good.mp4"]
    expected = {"mute.mp4": "no caption", "blank.mp4": "empty caption", "short.mp4": "has 3 frames",
                "picture.png": "has 1 frames", "broken.mp4": "cannot be read", "orphan.txt": "without a clip",
                "notes.md": "neither a clip", "latin.mp4": "not UTF-8"}
    assert len(folder.problems) == len(expected)
    for name, reason in expected.items():
        assert any(name in problem and reason in problem for problem in folder.problems), name
        assert name in folder.report()
    assert "1 files are used, 8 are not" in folder.report()


def test_hints_belong_to_their_clips(tmp_path):
    for name in ("good", "bare", "short", "small"):
        write_video(tmp_path / f"{name}.mp4", numbered_frames(5))
    write_video(tmp_path / "good.hint.mp4", numbered_frames(5), caption=None)
    write_video(tmp_path / "short.hint.mp4", numbered_frames(4), caption=None)
    write_video(tmp_path / "small.hint.mp4", numbered_frames(5, width=32), caption=None)
    write_video(tmp_path / "gone.hint.mp4", numbered_frames(5), caption=None)
    without = scan(tmp_path, SETTINGS)
    assert [item.hint for item in without.items] == [None] * 4
    assert "gone.hint.mp4 is a hint without its clip or image, gone.mp4" in "".join(without.problems)
    folder = scan(tmp_path, SETTINGS, hints=True)
    assert [item.hint.name for item in folder.items] == ["good.hint.mp4"]
    for reason in ("into bare.hint.mp4 beside it", "has 4 frames and its clip 5", "has 32 x 32 pixels and its clip 48"):
        assert sum(reason in problem for problem in folder.problems) == 1, reason


def test_images_and_videos_feed_a_stage_of_single_frames(tmp_path):
    write_video(tmp_path / "a.png", gradient())
    write_video(tmp_path / "b.mp4", numbered_frames(3))
    assert len(scan(tmp_path, ClipSettings(num_frames=1, height=32, width=32)).items) == 2


def test_nothing_left_is_refused_with_the_reasons(tmp_path):
    with pytest.raises(DataError, match="is empty; put clips"):
        scan(tmp_path, SETTINGS)
    with pytest.raises(DataError, match="not a folder"):
        scan(tmp_path / "gone", SETTINGS)
    write_video(tmp_path / "short.mp4", numbered_frames(3))
    with pytest.raises(DataError, match=r"(?s)nothing to train on.*short\.mp4 is too short"):
        scan(tmp_path, SETTINGS)


def test_a_long_list_of_problems_is_cut_and_counted(tmp_path):
    for number in range(25):
        (tmp_path / f"{number}.md").touch()
    with pytest.raises(DataError, match="and 5 more"):
        scan(tmp_path, SETTINGS)


def test_the_seed_of_a_clip_follows_the_content_and_not_the_name(tmp_path):
    write_video(tmp_path / "a.mp4", numbered_frames(5))
    (tmp_path / "a.mp4").rename(tmp_path / "z.mp4")
    (tmp_path / "a.txt").rename(tmp_path / "z.txt")
    write_video(tmp_path / "a.mp4", numbered_frames(5))
    write_video(tmp_path / "b.mp4", numbered_frames(6))
    a, b, z = scan(tmp_path, SETTINGS).items
    assert a.seed(0, 0) == z.seed(0, 0) != b.seed(0, 0)
    assert len({a.seed(0, 0), a.seed(1, 0), a.seed(0, 1)}) == 3


# Which clips a step sees.

def test_every_epoch_has_each_item_once_in_a_new_order():
    seen = [pick for step in range(14) for pick in picks(step, 5, 7, views=3, seed=0)]
    epochs = [seen[start:start + 7] for start in range(0, 70, 7)]
    for number, epoch in enumerate(epochs):
        assert Counter(pick.index for pick in epoch) == Counter(range(7))
        assert {pick.view for pick in epoch} == {number % 3}
    assert len({tuple(pick.index for pick in epoch) for epoch in epochs}) > 5


def test_a_step_is_known_by_its_number_alone():
    assert picks(13, 4, 9, 2, seed=1) == picks(13, 4, 9, 2, seed=1) != picks(13, 4, 9, 2, seed=2)
    halves = [pick for step in (26, 27) for pick in picks(step, 2, 9, 2, seed=1)]
    assert halves == picks(13, 4, 9, 2, seed=1)


def test_a_batch_may_be_larger_than_the_folder():
    assert picks(0, 5, 2, views=2, seed=0)[::2] != []
    assert Counter(picks(0, 4, 1, views=2, seed=0)) == Counter({Pick(0, 0): 2, Pick(0, 1): 2})

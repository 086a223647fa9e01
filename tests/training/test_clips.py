"""Clips are the frames that were asked for, cut and changed alike in all of them."""

from __future__ import annotations

import pytest
import torch
from animatelcm.tests.training.clip_files import gradient, number_of, numbered_frames, trimmed, write_video
from animatelcm.training.clips import ClipSettings, DataError, augment, count_frames, cover, decode, read_clip

SMALL = ClipSettings(num_frames=4, height=32, width=48)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_frames_are_counted_and_come_back_by_their_number(tmp_path, suffix):
    path = write_video(tmp_path / f"clip{suffix}", numbered_frames(20))
    assert count_frames(path) == 20
    assert [number_of(frame / 255) for frame in decode(path, [0, 3, 4, 11, 19])] == [0, 3, 4, 11, 19]


def test_what_was_cut_off_a_file_that_still_holds_it_is_not_counted(tmp_path):
    """Eight frames a second."""
    path = trimmed(write_video(tmp_path / "whole.mp4", numbered_frames(20)), tmp_path / "clip.mp4", 1.0)
    count = count_frames(path)
    assert count == 12
    assert [number_of(frame / 255) for frame in decode(path, range(count))] == list(range(8, 20))


def test_an_image_is_a_clip_of_one_frame(tmp_path):
    path = write_video(tmp_path / "100%03d.png", gradient())
    assert count_frames(path) == 1
    assert torch.equal(next(decode(path, [0])), gradient()[0])


@pytest.mark.parametrize("stride", [1, 3])
def test_a_clip_is_every_so_many_th_frame(tmp_path, stride):
    path = write_video(tmp_path / "clip.mp4", numbered_frames(20))
    settings = ClipSettings(num_frames=4, frame_stride=stride, height=32, width=48)
    starts = set()
    for seed in range(12):
        numbers = [number_of(frame) for frame in read_clip(path, 20, settings, seed)]
        assert numbers == list(range(numbers[0], numbers[0] + 4 * stride, stride))
        starts.add(numbers[0])
    assert len(starts) > 4


def test_the_last_frame_is_reached_and_none_beyond(tmp_path):
    path = write_video(tmp_path / "clip.mp4", numbered_frames(5))
    firsts = {number_of(read_clip(path, 5, SMALL, seed)[0]) for seed in range(20)}
    assert firsts == {0, 1}


def test_the_seed_decides_alone(tmp_path):
    path = write_video(tmp_path / "clip.mp4", torch.randint(0, 255, (12, 3, 64, 64), dtype=torch.uint8))
    settings = ClipSettings(num_frames=3, height=32, width=32, flip=0.5, colour=0.2)
    torch.manual_seed(1)
    first = read_clip(path, 12, settings, 7)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(read_clip(path, 12, settings, 7), first)
    assert not torch.equal(read_clip(path, 12, settings, 8), first)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state), "the global random numbers moved on"


@pytest.mark.parametrize("height, width", [(32, 48), (48, 32), (16, 80), (64, 64)])
def test_pictures_cover_the_size_without_being_stretched(height, width):
    scaled = cover(gradient(40, 60)[0], height, width)
    assert scaled.shape[1] >= height and scaled.shape[2] >= width
    assert scaled.shape[1] == height or scaled.shape[2] == width
    assert scaled.shape[2] / scaled.shape[1] == pytest.approx(1.5, rel=0.05)
    assert scaled.min() >= 0 and scaled.max() <= 1


@pytest.mark.parametrize("settings", [
    ClipSettings(height=24, width=32), ClipSettings(height=24, width=32, flip=1.0),
    ClipSettings(height=24, width=32, colour=0.5), ClipSettings(height=24, width=32, crop="centre"),
])
def test_all_frames_are_changed_alike(settings):
    still = (gradient()[0] / 255).repeat(6, 1, 1, 1)
    changed = augment(still, settings, seed=3)
    assert changed.shape == (6, 3, 24, 32)
    assert torch.equal(changed, changed[:1].expand_as(changed))


def test_each_augmentation_does_what_its_name_says():
    still = gradient() / 255
    centre = ClipSettings(height=24, width=32, crop="centre")
    plain = augment(still, centre, 0)
    torch.testing.assert_close(plain, still[..., 8:32, 14:46])
    mirrored = augment(still, ClipSettings(height=24, width=32, crop="centre", flip=1.0), 0)
    torch.testing.assert_close(mirrored, plain.flip(-1))
    tinted = augment(still, ClipSettings(height=24, width=32, crop="centre", colour=0.3), 0)
    assert (tinted - plain).abs().max() > 0.02
    crops = {augment(still, ClipSettings(height=24, width=32), seed)[0, 0, 0, 0].item() for seed in range(8)}
    assert len(crops) > 3


def test_a_portrait_that_lies_down_is_turned_up(tmp_path):
    from PIL import Image

    image = Image.fromarray(gradient()[0].permute(1, 2, 0).numpy())
    for orientation, turned in ((1, gradient()[0]), (3, gradient()[0].flip(1, 2)),
                                (6, gradient()[0].flip(1).transpose(1, 2)), (8, gradient()[0].flip(2).transpose(1, 2))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.jpg"
        image.save(path, exif=exif, quality=100, subsampling=0)
        frame = next(decode(path, [0]))
        assert frame.shape == turned.shape
        assert (frame.float() - turned.float()).abs().mean() < 3, orientation


def test_unusable_files_are_named(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video", encoding="utf-8")
    with pytest.raises(DataError, match=r"text\.mp4 cannot be read"):
        count_frames(text)
    with pytest.raises(DataError, match=r"gone\.mp4 cannot be read"):
        count_frames(tmp_path / "gone.mp4")
    short = write_video(tmp_path / "short.mp4", numbered_frames(6))
    with pytest.raises(DataError, match=r"short\.mp4 is too short: it has 6 frames, and a clip spans 7 \(num_frames 4"):
        read_clip(short, 6, ClipSettings(num_frames=4, frame_stride=2, height=32, width=48), 0)
    with pytest.raises(DataError, match=r"short\.mp4 is damaged: only 6 of its frames can be read, frame 6 cannot"):
        list(decode(short, [5, 6]))


@pytest.mark.parametrize("change, said", [
    ({"num_frames": 0}, "num_frames is 0"), ({"frame_stride": 0}, "frame_stride 0"),
    ({"height": 250}, "multiples of 8"), ({"crop": "left"}, "random, centre"), ({"flip": 2.0}, "flip is 2.0"),
])
def test_settings_out_of_range_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        ClipSettings(**change)

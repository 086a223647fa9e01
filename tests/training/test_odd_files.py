"""A folder of anything: what cannot be used is named and left out, and the run goes on with the rest."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest
import torch
from animatelcm.tests.training.clip_files import gradient, number_of, numbered_frames, write_video
from animatelcm.tests.training.odd_files import damaged, latin_tagged, png
from animatelcm.training.cache import CachedClips, DataSettings, Encoders, fill_cache
from animatelcm.training.clips import MOST_PIXELS, ClipSettings, DataError, check_size, read_clip
from animatelcm.training.data import scan
from torch.nn import functional as F

SETTINGS = ClipSettings(num_frames=2, height=32, width=32)
STILLS = replace(SETTINGS, num_frames=1)
ENCODERS = Encoders(lambda clip: F.avg_pool2d(clip, 8), lambda caption: torch.ones(1, 2), "frames", "text")


def prepared(folder, settings=SETTINGS, encoders=ENCODERS) -> CachedClips:
    clips = fill_cache(scan(folder, settings), settings, DataSettings(views=1), encoders, folder.parent / "cache")
    source = clips.source(1, torch.device("cpu"))
    assert all(source(number).latents.isfinite().all() for number in range(len(clips.folder.items)))
    return clips


def names(clips):
    return [item.path.name for item in clips.folder.items]


@pytest.fixture
def folder(tmp_path):
    """A folder with one good clip, which stands last."""
    write_video(tmp_path / "clips" / "z.mp4", numbered_frames(5))
    return tmp_path / "clips"


def captioned(path):
    path.with_suffix(".txt").write_text("a clip", encoding="utf-8")
    return path


def test_tags_in_another_encoding_are_no_hindrance(folder):
    path = captioned(latin_tagged(folder / "latin.avi"))
    assert b"caf\xe9" in path.read_bytes()
    assert names(prepared(folder)) == ["latin.avi", "z.mp4"]
    clip = read_clip(path, 5, replace(SETTINGS, num_frames=5, width=48), 0)
    assert [number_of(frame) for frame in clip] == [0, 1, 2, 3, 4]


def test_pictures_out_of_all_proportion_are_left_out(folder):
    captioned(png(folder / "strip.png", 1, 500_000))
    captioned(png(folder / "large.png", 12_000, 12_000, pixels=False))
    captioned(png(folder / "header.png", 2**31 - 1, 2**31 - 1, pixels=False))
    captioned(png(folder / "nothing.png", 0, 0))
    captioned(png(folder / "pixel.png", 1, 1))
    clips = prepared(folder, STILLS)
    assert names(clips) == ["pixel.png", "z.mp4"]
    problems = dict(zip(("header", "large", "nothing", "strip"), sorted(clips.folder.problems), strict=True))
    assert all(f"{name}.png " in problem for name, problem in problems.items())
    assert f"more than {MOST_PIXELS:,} pixels" in problems["large"]
    assert "scaled to 32 x 16000000 to cover a clip of 32 x 32" in problems["strip"]


@pytest.mark.parametrize("width, height, fits", [
    (1, 5_000, False), (5_000, 1, False), (12_000, 12_000, False), (12_000, 5_000, True), (4_000, 400, True),
])
def test_the_size_is_checked_before_anything_is_decoded(tmp_path, width, height, fits):
    large = ClipSettings(num_frames=1, height=512, width=512)
    if fits:
        check_size(tmp_path / "a.png", width, height, large)
        return
    with pytest.raises(DataError, match=rf"a\.png has pictures of {width} x {height} pixels"):
        check_size(tmp_path / "a.png", width, height, large)


def test_a_file_whose_frames_change_their_size_is_left_out(folder):
    first, second = (write_video(folder.parent / f"{width}.webm", numbered_frames(3, width=width)).read_bytes()
                     for width in (48, 64))
    # The frames of both, one after the other: clusters follow the header.
    cluster = b"\x1f\x43\xb6\x75"
    captioned(folder / "changing.webm").write_bytes(first + second[second.index(cluster):])
    clips = prepared(folder, replace(SETTINGS, num_frames=5))
    assert names(clips) == ["z.mp4"]
    assert "changing.webm has frames of 48 x 32 and of 64 x 32 pixels" in clips.folder.problems[0]


def test_what_is_no_file_or_has_no_readable_name_is_named(folder):
    captioned(folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    os.mkfifo(captioned(folder / "pipe.mp4"))
    (folder / "directory.mp4").mkdir()
    (folder / os.fsdecode(b"n\xe9.mp4")).write_bytes(b"")
    found = scan(folder, SETTINGS)
    assert [item.path.name for item in found.items] == ["z.mp4"]
    for name, reason in (("gone.mp4", "leads nowhere"), ("pipe.mp4", "no ordinary file"),
                         (r"n\udce9.mp4", "no caption")):
        assert any(name in line and reason in line for line in found.report().splitlines()), name
    found.report().encode("utf-8")


def test_a_file_that_may_not_be_read_is_left_out(folder, monkeypatch):
    write_video(folder / "secret.mp4", numbered_frames(5))
    opened = type(folder).open

    def refuse(path, *args, **more):
        if path.name == "secret.mp4":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **more)

    monkeypatch.setattr(type(folder), "open", refuse)
    found = scan(folder, SETTINGS)
    assert [item.path.name for item in found.items] == ["z.mp4"]
    assert "secret.mp4 cannot be read: Permission denied" in found.problems[0]


@pytest.mark.parametrize("content", [b"caf\xe9", "a clip".encode("utf-16"), "a clip".encode("utf-16-le"), b"\x00",
                                     b"", b"\xef\xbb\xbf", b"\xff" * 9, "a clip".encode("utf-32-le")])
def test_captions_that_are_no_text_are_named(folder, content):
    write_video(folder / "a.mp4", numbered_frames(5)).with_suffix(".txt").write_bytes(content)
    found = scan(folder, SETTINGS)
    assert [item.path.name for item in found.items] == ["z.mp4"]
    assert "a.mp4 has " in found.problems[0] and "caption" in found.problems[0]


def test_whatever_is_in_a_folder_is_used_or_named(tmp_path):
    """Files of every kind, damaged in every way, by chance."""
    rng, good = random.Random(0), tmp_path / "good"
    contents = [write_video(good / f"good{suffix}", numbered_frames(6), None) for suffix in (".mp4", ".webm", ".gif")]
    write_video(good / "%03d.png", gradient(), None)
    contents += [*good.glob("*.png"), latin_tagged(good / "good.avi")]
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(150):
        whole = rng.choice(contents)
        path = folder / f"{number:03}{rng.choice((whole.suffix,) * 9 + ('.jpg',))}"
        path.write_bytes(damaged(whole.read_bytes(), rng))
        path.with_suffix(".txt").write_bytes(rng.choice((b"a clip", b"a clip", rng.randbytes(9))))
    for settings in (SETTINGS, STILLS):
        clips = prepared(folder, settings)
        named = " ".join(clips.folder.problems)
        left_out = [number for number in range(150) if f"{number:03}." in named]
        assert len(names(clips)) + len(left_out) == 150
        assert 10 < len(left_out) < 140


# Numbers that are none.

def with_nan(value):
    value = value.clone()
    value.view(-1)[0] = float("nan")
    return value


def test_a_clip_or_caption_that_is_encoded_to_no_numbers_is_left_out(folder):
    write_video(folder / "dark.mp4", numbered_frames(6, width=64), "dark")
    write_video(folder / "odd.mp4", numbered_frames(7), "(cat:nan)")

    def frames(clip):
        return with_nan(F.avg_pool2d(clip, 8)) if clip.max() < dark else F.avg_pool2d(clip, 8)

    def text(caption):
        return with_nan(torch.ones(1, 2)) if "nan" in caption else torch.ones(1, 2)

    dark = -1.0
    assert names(prepared(folder, encoders=Encoders(frames, ENCODERS.text, "a", "a"))) == [
        "dark.mp4", "odd.mp4", "z.mp4"]
    clips = prepared(folder, encoders=Encoders(ENCODERS.frames, text, "b", "b"))
    assert names(clips) == ["dark.mp4", "z.mp4"]
    assert "odd.mp4: the caption '(cat:nan)' is encoded to nan" in clips.folder.problems[0]
    dark = 2.0
    with pytest.raises(DataError, match=r"(?s)nothing to train on.*dark\.mp4 is encoded to nan.*z\.mp4 is encoded"):
        prepared(folder, encoders=Encoders(frames, ENCODERS.text, "c", "c"))
    with pytest.raises(DataError, match="the caption '' is encoded to nan"):
        prepared(folder, encoders=Encoders(ENCODERS.frames, lambda caption: with_nan(torch.ones(1, 2)), "d", "d"))


@pytest.mark.parametrize("part", ["latents", "text"])
@pytest.mark.parametrize("how", ["nan", "damaged", "nameless"])
def test_what_is_unusable_in_the_cache_is_made_anew(folder, part, how):
    from safetensors.torch import load_file, save_file

    first = prepared(folder).source(1, torch.device("cpu"))(0)
    for path in (folder.parent / "cache" / part).iterdir():
        value = load_file(path)["value"].clone()
        if how == "damaged":
            path.write_bytes(b"damaged")
        else:
            save_file({"value": with_nan(value)} if how == "nan" else {"other": value}, path)
    again = prepared(folder).source(1, torch.device("cpu"))(0)
    assert torch.equal(again.latents, first.latents) and torch.equal(again.context, first.context)


def test_a_cache_that_cannot_be_written_says_so_and_leaves_nothing_half(folder, monkeypatch):
    from animatelcm.training import cache

    def full(tensors, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "save_file", full)
    with pytest.raises(OSError, match=r"latents.*safetensors is not written: No space left.*disk has space"):
        prepared(folder)
    assert not [path for path in (folder.parent / "cache").rglob("*") if path.is_file()]

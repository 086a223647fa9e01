"""What is encoded is encoded once, and again when anything that it was made from changes."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from animatelcm.tests.training.clip_files import numbered_frames, write_video
from animatelcm.training.cache import DataSettings, Encoders, fill_cache
from animatelcm.training.clips import ClipSettings, DataError, read_clip
from animatelcm.training.data import picks, scan
from torch.nn import functional as F

CLIP = ClipSettings(num_frames=4, height=32, width=32)
DATA = DataSettings(views=2)
CPU = torch.device("cpu")


class Counting:
    """Encoders that can be told apart by eye, and count their calls."""

    def __init__(self) -> None:
        self.frames_calls, self.text_calls = 0, []

    def frames(self, clip):
        self.frames_calls += 1
        return F.avg_pool2d(clip, 8)

    def text(self, caption):
        self.text_calls.append(caption)
        return torch.tensor([[float(len(word))] for word in ["", *caption.split()]])

    def encoders(self, frames_id="vae", text_id="clip"):
        return Encoders(self.frames, self.text, frames_id, text_id)


@pytest.fixture
def clips(tmp_path):
    for number in range(3):
        write_video(tmp_path / "clips" / f"{number}.mp4", numbered_frames(8 + number), f"clip {number}")
    return tmp_path / "clips"


def prepared(clips, counting=None, clip=CLIP, data=DATA, **ids):
    counting = counting or Counting()
    return fill_cache(scan(clips, clip), clip, data, counting.encoders(**ids), clips.parent / "cache"), counting


def test_a_second_preparation_encodes_nothing(clips):
    first, counting = prepared(clips)
    assert counting.frames_calls == 6
    assert sorted(counting.text_calls) == ["", "clip 0", "clip 1", "clip 2"]
    again, counting = prepared(clips)
    assert counting.frames_calls == 0 and not counting.text_calls
    for step in range(4):
        assert torch.equal(first.source(2, CPU)(step).latents, again.source(2, CPU)(step).latents)


@pytest.mark.parametrize("change", [
    {"clip": replace(CLIP, num_frames=3)}, {"clip": replace(CLIP, colour=0.1)}, {"data": replace(DATA, seed=1)},
    {"frames_id": "other"},
])
def test_anything_else_is_encoded_anew(clips, change):
    prepared(clips)
    _, counting = prepared(clips, **change)
    assert counting.frames_calls == 6 and not counting.text_calls


@pytest.mark.parametrize("colour", [0.0, 0.5])
def test_a_hint_is_cut_as_its_clip_is_and_never_tinted(tmp_path, colour):
    """The hint is the clip itself here, so that its latents, which are means of 8 x 8 pixels, tell."""
    rows = torch.arange(40).view(1, 1, -1, 1) + torch.arange(60) * 2 + torch.arange(9).view(-1, 1, 1, 1) * 8
    path = write_video(tmp_path / "clips" / "0.mp4", rows.expand(9, 3, 40, 60).to(torch.uint8))
    shutil.copy(path, path.with_suffix(".hint.mp4"))
    clip = replace(CLIP, flip=0.5, colour=colour)

    def batches(settings, seed=0):
        found, data = scan(path.parent, settings, hints=True), replace(DATA, views=6, seed=seed)
        source = fill_cache(found, settings, data, Counting().encoders(), tmp_path / "cache").source(1, CPU)
        return [source(number) for number in range(6)]

    tinted, plain = batches(clip), batches(replace(clip, colour=0.0))
    for some, others in zip(tinted, plain, strict=True):
        hint = some.conditions["hint"]
        assert hint.shape == (1, 4, 3, 32, 32)
        assert torch.equal(hint, others.conditions["hint"])
        torch.testing.assert_close(F.avg_pool2d(hint[0], 8), others.latents[0], rtol=0, atol=0.01)
    assert len({batch.conditions["hint"].sum().item() for batch in plain}) > 3
    # Another seed cuts both anew, in the same cache.
    for batch in batches(replace(clip, colour=0.0), seed=1):
        torch.testing.assert_close(F.avg_pool2d(batch.conditions["hint"][0], 8), batch.latents[0], rtol=0, atol=0.01)


def test_another_text_encoder_encodes_the_captions_anew(clips):
    prepared(clips)
    _, counting = prepared(clips, text_id="other")
    assert len(counting.text_calls) == 4 and not counting.frames_calls


def test_a_replaced_file_and_a_new_caption_are_encoded_anew(clips):
    prepared(clips)
    write_video(clips / "1.mp4", numbered_frames(12), "another caption")
    _, counting = prepared(clips)
    assert counting.frames_calls == 2 and counting.text_calls == ["another caption"]


def test_an_interrupted_preparation_goes_on(clips):
    class Stop(BaseException):
        pass

    class Stopping(Counting):
        def frames(self, clip):
            if self.frames_calls == 4:
                raise Stop
            return super().frames(clip)

    with pytest.raises(Stop):
        prepared(clips, Stopping())
    _, counting = prepared(clips)
    assert counting.frames_calls == 2


def test_a_batch_holds_the_latents_and_captions_of_its_picks(clips):
    data, counting = prepared(clips)
    source = data.source(2, CPU)
    for step in range(4):
        batch = source(step)
        assert batch.latents.shape == (2, 4, 3, 4, 4)
        for number, pick in enumerate(picks(step, 2, 3, 2, 0)):
            item = data.folder.items[pick.index]
            clip = read_clip(item.path, item.num_frames, CLIP, item.seed(pick.view, 0))
            assert torch.equal(batch.latents[number], counting.frames(clip))
            assert torch.equal(batch.context[number], counting.text(item.caption))


def test_single_frames_are_images(clips):
    data, _ = prepared(clips, clip=replace(CLIP, num_frames=1))
    assert data.source(2, CPU)(0).latents.shape == (2, 3, 4, 4)


def test_the_empty_caption_is_encoded_too(clips):
    data, _ = prepared(clips)
    assert torch.equal(data.context(("",)), torch.zeros(1, 1, 1))


def test_a_file_that_breaks_off_is_reported_when_it_is_decoded(clips):
    folder = scan(clips, CLIP)
    longer = replace(folder, items=(replace(folder.items[0], num_frames=500), *folder.items[1:]))
    data = fill_cache(longer, CLIP, DATA, Counting().encoders(), clips.parent / "cache")
    assert [item.path.name for item in data.folder.items] == ["1.mp4", "2.mp4"]
    assert len(data.folder.problems) == 1 and "0.mp4 is damaged: only 8" in data.folder.problems[0]
    with pytest.raises(DataError, match="nothing to train on"):
        fill_cache(replace(longer, items=longer.items[:1]), CLIP, DATA, Counting().encoders(), clips.parent / "cache")


def test_progress_ends_at_the_total(clips):
    reports = []
    fill_cache(scan(clips, CLIP), CLIP, DATA, Counting().encoders(), clips.parent / "cache",
            lambda *report: reports.append(report))
    assert reports[-1] == (10, 10) and sorted(reports) == reports


def test_a_damaged_cache_file_is_named(clips):
    data, _ = prepared(clips)
    for path in (clips.parent / "cache" / "latents").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"cached file .* cannot be read .*delete it"):
        data.source(1, CPU)(0)

"""Batches of latents in memory: what belongs to a clip is cut as the clip is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from animatelcm.training.config import PRESETS
from animatelcm.training.draws import stack
from animatelcm.training.latents import LatentSource

CONFIG = replace(PRESETS["tiny"]["adapt"], batch=3, num_frames=4)
CLIPS = [10.0 * number + torch.arange(7.0).view(-1, 1, 1, 1).expand(7, 4, 8, 8) for number in range(3)]


def source(stage="adapt", hints=CLIPS):
    return LatentSource(CLIPS, [torch.zeros(2, 3)] * 3, replace(CONFIG, stage=stage), torch.device("cpu"),
                        {"hint": hints})


@pytest.mark.parametrize("stage", ["adapt", "image"])
def test_a_condition_has_the_frames_of_its_clip(stage):
    batches = [source(stage, [clip[:, :3] + 100 for clip in CLIPS])(number) for number in range(20)]
    for batch in batches:
        hint = batch.conditions["hint"]
        assert hint.shape == ((3, 3, 8, 8) if stage == "image" else (3, 4, 3, 8, 8))
        assert torch.equal(hint, batch.latents[..., :3, :, :] + 100)
    assert len({batch.latents.sum().item() for batch in batches}) > 10


def test_clips_of_one_frame_are_images_in_every_stage():
    adapt, image = (replace(source(), config=replace(CONFIG, stage=stage, num_frames=1))
                    for stage in ("adapt", "image"))
    for one, other in ((adapt(number), image(number)) for number in range(5)):
        assert one.latents.shape == one.conditions["hint"].shape == (3, 4, 8, 8)
        assert torch.equal(one.latents, other.latents)
    assert stack(CLIPS).shape == (3, 7, 4, 8, 8)


def test_other_numbers_of_frames_are_refused():
    with pytest.raises(ValueError, match="the hint of clip 2 has 6 frames and the clip 7; expected as many"):
        source(hints=[CLIPS[0], CLIPS[1][:6], CLIPS[2]])


def mixed(count=40, **config):
    """Return clips of one size and a single larger one, with captions of which one is longer."""
    sides, lengths = [8] * count, [2] * count
    sides[count // 2], lengths[count // 3] = 16, 6
    config = replace(CONFIG, **config)
    return LatentSource([torch.zeros(7, 4, side, side) for side in sides],
                        [torch.zeros(length, 3) for length in lengths], config, torch.device("cpu"))


def test_the_largest_batch_of_the_run_is_found():
    found = mixed(loop=replace(CONFIG.loop, steps=400, warmup=0))
    assert found(0).latents.shape[-1] == 8
    assert found(found.largest()).latents.shape == (3, 4, 4, 16, 16)
    batches = [found(number).latents.shape[-1] for number in range(400)]
    assert found.largest() == batches.index(16), "the first of them"


def test_batches_that_never_come_do_not_count():
    first = next(number for number in range(400) if mixed()(number).latents.shape[-1] == 16)
    short = mixed(loop=replace(CONFIG.loop, steps=first, warmup=0, accumulation=1))
    assert short(short.largest()).latents.shape[-1] == 8
    assert short(short.largest()).context.shape[1] == max(short(number).context.shape[1] for number in range(first))
    one_more = replace(short, config=replace(short.config, loop=replace(short.config.loop, steps=first + 1)))
    assert one_more.largest() == first


def test_of_equal_batches_the_first_is_taken():
    assert source(hints=[clip[:, :3] for clip in CLIPS]).largest() == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("what, said", [("latents", "clip 2 of 3 "), ("contexts", "the caption of clip 2 of 3 "),
                                        ("hints", "the hint of clip 2 of 3 ")])
def test_numbers_that_are_none_are_named_before_the_first_batch(what, said, bad):
    given = {"latents": [clip.clone() for clip in CLIPS], "contexts": [torch.zeros(2, 3) for _ in CLIPS],
             "hints": [clip.clone() for clip in CLIPS]}
    given[what][1].view(-1)[3] = bad
    with pytest.raises(ValueError, match=f"^{said}holds nan or infinite numbers"):
        LatentSource(given["latents"], given["contexts"], CONFIG, torch.device("cpu"), {"hint": given["hints"]})


def test_a_long_list_of_such_clips_is_cut_and_counted():
    with pytest.raises(ValueError, match="clip 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 20 more of 30 holds nan"):
        LatentSource([torch.full((7, 4, 8, 8), float("nan"))] * 30, [torch.zeros(2, 3)] * 30, CONFIG,
                     torch.device("cpu"))

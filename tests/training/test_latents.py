"""Batches of latents in memory: what belongs to a clip is cut as the clip is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from animatelcm.training.config import PRESETS
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


def test_other_numbers_of_frames_are_refused():
    with pytest.raises(ValueError, match="the hint of clip 2 has 6 frames and the clip 7; expected as many"):
        source(hints=[CLIPS[0], CLIPS[1][:6], CLIPS[2]])

"""What an old graph's factors on a motion module become."""

from __future__ import annotations

import pytest
from animatelcm.migration.migrate import migrate
from animatelcm.tests.migration.old_graphs import FRAMES, SIZE, Old
from animatelcm.tests.migration.test_migrate import by_kind


@pytest.mark.parametrize(("scale", "kept"), [(0.8, [0.8]), (1.0, []), (1.2, [1.2])])
def test_a_motion_scale_is_that_of_the_attention_unless_it_changes_nothing(scale: float, kept: list[float]) -> None:
    old = Old()
    loader, model, text = old.start()
    motion = old.node("ADE_AnimateDiffLoaderWithContext", {"model": (model, 0)}, [
        "mm_sd_v15_v2.ckpt", "sqrt_linear (AnimateDiff)", scale, True, ""])
    old.end(loader, motion, text, old.node("EmptyLatentImage", values=[SIZE, SIZE, FRAMES]))
    new, _ = migrate(old.saved())
    assert [node["inputs"]["scale"] for node in by_kind(new, "AnimateLCM_AttentionScale")] == kept

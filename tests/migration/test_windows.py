"""Which windows an old graph's context options become."""

from __future__ import annotations

from typing import Any

import pytest
from animatelcm.migration.migrate import migrate
from animatelcm.tests.migration.old_graphs import FRAMES, SIZE, Old
from animatelcm.tests.migration.test_migrate import by_kind, one, said
from comfy.context_windows import ContextFuseMethods


def migrated(*options: list[Any]) -> tuple[dict[str, Any], str]:
    """Migrate a graph with a chain of static context options: length, overlap, fuse method, equal length, start."""
    old = Old()
    loader, model, text = old.start()
    file = old.node("ADE_LoadAnimateDiffModel", values=["mm.ckpt"])
    applied = old.node("ADE_ApplyAnimateDiffModelSimple", {"motion_model": (file, 0)})
    before: dict[str, tuple[int, int]] = {}
    for values in options:
        before = {"prev_context": (old.node("ADE_StandardStaticContextOptions", before, [*values, 1]), 0)}
    motion = old.node("ADE_UseEvolvedSampling", {"model": (model, 0), "m_models": (applied, 0),
                                                 "context_options": before["prev_context"]}, ["autoselect"])
    old.end(loader, motion, text, old.node("EmptyLatentImage", values=[SIZE, SIZE, FRAMES]))
    new, report = migrate(old.saved())
    return new, said(report.left)


@pytest.mark.parametrize(("starts", "kept"), [([0, 0.5], 8), ([0.5, 0], 9), ([0, 0], 8), ([0.2, 0.1, 0.1], 9)])
def test_of_a_chain_the_windows_of_the_first_steps_are_kept(starts: list[float], kept: int) -> None:
    """Of several that begin together, the first of the chain."""
    new, lacking = migrated(*([8 + place, 2, "pyramid", False, start] for place, start in enumerate(starts)))
    assert one(new, "AnimateLCM_LongVideo")["context_length"] == kept
    assert lacking.count("windows that change over the steps") == len(starts) - 1


@pytest.mark.parametrize(("length", "overlap", "fuse", "kind"), [
    (8, 2, "pyramid", "AnimateLCM_LongVideo"), (8, 0, "pyramid", "ContextWindowsManual"),
    (8, 2, "flat", "ContextWindowsManual"), (1, 1, "pyramid", "ContextWindowsManual")])
def test_what_long_video_does_not_have_becomes_windows_of_the_host(length: int, overlap: int, fuse: str, kind: str
                                                                   ) -> None:
    new, _ = migrated([length, overlap, fuse, False, 0])
    assert one(new, kind)["context_overlap"] == overlap
    assert len(by_kind(new, "AnimateLCM_LongVideo")) + len(by_kind(new, "ContextWindowsManual")) == 1


@pytest.mark.parametrize("fuse", ContextFuseMethods.LIST)
@pytest.mark.parametrize(("kind", "schedule"), [("ADE_StandardUniformContextOptions", "standard_uniform"),
                                                ("ADE_LoopedUniformContextOptions", "looped_uniform")])
def test_uniform_windows_keep_their_stride_and_every_way_of_the_host_to_fuse(kind: str, schedule: str, fuse: str
                                                                              ) -> None:
    old = Old()
    loader, model, text = old.start()
    loop = [True] if schedule == "looped_uniform" else []
    options = old.node(kind, values=[8, 3, 2, *loop, fuse, False, 0, 1])
    motion = old.node("ADE_UseEvolvedSampling", {"model": (model, 0), "context_options": (options, 0)}, ["autoselect"])
    old.end(loader, motion, text, old.node("EmptyLatentImage", values=[SIZE, SIZE, FRAMES]))
    new, report = migrate(old.saved())
    windows = one(new, "ContextWindowsManual")
    assert [windows[name] for name in ("context_length", "context_stride", "context_overlap", "context_schedule",
                                       "closed_loop", "fuse_method")] == [8, 3, 2, schedule, bool(loop), fuse]
    assert "fuse_method" not in said(report.differs)

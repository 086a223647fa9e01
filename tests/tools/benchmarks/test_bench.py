"""The benchmark on machines other than the one it was written on."""

from __future__ import annotations

import resource
import sys
from types import SimpleNamespace

import pytest
import torch
from animatelcm.host import operations
from animatelcm.host.motion import apply_motion
from animatelcm.tools.benchmarks import bench


def test_operations_are_counted_where_torch_has_no_onednn(monkeypatch):
    """As on a Mac, where the motion module's layers are torch's own, which the counter knows."""
    model = bench.build_model(channels=32)
    with_onednn = bench.count_flops(apply_motion(model, bench.stand_in_motion(32), 1.0, None), 64)
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    monkeypatch.setattr(operations, "onednn_linear", None)
    assert bench.count_flops(apply_motion(model, bench.stand_in_motion(32), 1.0, None), 64) == with_onednn > 0


@pytest.mark.parametrize("platform, unit", [("darwin", 1), ("linux", 1024)])
def test_the_peak_is_in_bytes_everywhere(monkeypatch, platform, unit):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=7))
    assert bench.peak_bytes() == 7 * unit

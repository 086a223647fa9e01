"""The memory and operations of a run, counted without values."""

from __future__ import annotations

import pytest
import torch
from animatelcm.host.long_video import long_video
from animatelcm.tools.benchmarks import bench
from animatelcm.tools.benchmarks.inference_memory import FusedAttention, LiveTensors, need, windows_of
from animatelcm.tools.benchmarks.long_video_memory import tensor_peak
from torch.nn import functional as F


def test_tensors_count_from_when_they_are_made_until_they_are_gone():
    weight, given = torch.ones(1000), torch.ones(500)
    with LiveTensors([weight], [given]) as live:
        one = weight.view(10, 100) + 1
        two = one.t() * 2
        del one
        three = two * 3
        three.mul_(2)
        del two
    assert (live.now, live.peak) == (2000 + 4000, 2000 + 8000)


def test_attention_gives_the_shape_and_counts_both_products():
    query, key = torch.empty(2, 3, 5, 8, device="meta"), torch.empty(2, 3, 7, 8, device="meta")
    with FusedAttention() as attention:
        assert F.scaled_dot_product_attention(query, key, key).shape == query.shape
    assert attention.operations == 2 * 3 * (2 * 5 * 8 * 7 + 2 * 5 * 7 * 8)


def test_what_is_counted_is_nearly_what_a_step_holds():
    model = bench.with_motion(bench.build_model(channels=32))
    bench.step(model, 1.0, 256, 4)
    measured = tensor_peak(lambda: bench.step(model, 1.0, 256, 4))
    counted = need(4, 256, 32, torch.float32)
    assert 0.75 * measured < counted.activations < 1.02 * measured
    held = sum(each.model_size() for each in (model, *model.get_nested_additional_models()))
    assert counted.weights == pytest.approx(held, rel=0.02)


def test_weights_in_fp8_take_half_and_change_nothing_else():
    half, small = (need(2, 64, 32, torch.float16, dtype) for dtype in (torch.float16, torch.float8_e4m3fn))
    assert small.weights < half.weights
    assert small.operations == half.operations


@pytest.mark.parametrize("frames", [17, 28, 32, 64])
def test_windows_are_those_of_long_video(frames):
    model = bench.with_motion(bench.build_model(channels=32))
    handler = long_video(model, 16, 4, loop=False, freenoise=True).model_options["context_handler"]
    assert windows_of(frames) == len(handler.context_schedule.func(frames, handler, {}))

"""Burned values are those at the ends."""

import torch
from animatelcm.tools.evaluation.burn import burned


def test_only_values_at_the_ends_count():
    clip = torch.full((4, 3, 8, 8), 0.5)
    assert burned(clip) == 0
    clip[0], clip[1, 0] = 1.0, 0.0
    assert abs(burned(clip) - (1 + 1 / 3) / 4) < 1e-6
    assert burned(torch.full((1, 3, 2, 2), 2 / 255)) == burned(torch.full((1, 3, 2, 2), 253 / 255)) == 0


def test_what_guidance_drives_apart_burns():
    clip = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pushed = (0.5 + 3 * (clip - 0.5)).clamp(0, 1)
    assert burned(clip) < 0.03 < 0.5 < burned(pushed)

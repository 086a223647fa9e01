"""The texture of a background that moves is told from what stands still, what is finer or coarser, and the subject."""

from __future__ import annotations

import math

import pytest
import torch
from animatelcm.demo.scenes import Scene, render
from animatelcm.tools.evaluation.texture import texture_energy
from torch.nn import functional as F

NOWHERE = torch.zeros(16, 128, 128)
"""No subject."""


def waves(length, speed=3.0):
    """Return a clip of waves of a length in pixels that run down the frame."""
    place = torch.arange(128.0).view(1, 128, 1) - speed * torch.arange(16.0).view(16, 1, 1)
    return (0.5 + 0.1 * torch.sin(2 * math.pi * place / length)).unsqueeze(1).expand(16, 3, 128, 128)


def test_waves_of_8_to_24_pixels_are_kept_and_others_are_not():
    kept = {length: texture_energy(waves(length), NOWHERE) / (0.1 ** 2 / 2) for length in (3, 12, 90)}
    assert kept[12] > 0.6
    assert kept[3] < 0.05 and kept[90] < 0.1


def test_what_stands_still_is_no_texture():
    assert texture_energy(waves(12, speed=0.0), NOWHERE) < 1e-9


def test_it_is_the_square_of_the_strength():
    clip = waves(12)
    weak = 0.5 + 0.5 * (clip - 0.5)
    assert texture_energy(weak, NOWHERE) == pytest.approx(texture_energy(clip, NOWHERE) / 4, rel=1e-4)


def test_the_subject_is_left_out_and_so_is_all_that_averages_mix_with_it():
    mask = torch.zeros(16, 128, 128)
    mask[:, 30:90, :60] = 1
    rough = torch.where(mask.unsqueeze(1) > 0, 4 * waves(12) - 1.5, waves(12))
    assert texture_energy(rough, mask) == pytest.approx(texture_energy(waves(12), mask))
    assert texture_energy(rough, NOWHERE) > 1.5 * texture_energy(waves(12), NOWHERE)
    assert texture_energy(rough, torch.ones_like(mask)) == 0


def test_a_blurred_sea_has_less_and_a_plain_background_next_to_none():
    sea, plain = (render(Scene("bee", "still", name)) for name in ("sea", "yellow"))
    whole = texture_energy(sea.frames, sea.mask)
    assert texture_energy(F.avg_pool2d(sea.frames, 9, 1, 4), sea.mask) < 0.6 * whole
    assert texture_energy(plain.frames, plain.mask) < 0.02 * whole

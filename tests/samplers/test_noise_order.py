"""Noise that is used over and over: all of it, in whole groups, and never twice beside one another."""

import pytest
from animatelcm.samplers.noise_order import noise_source

PERIOD, GROUP = 16, 4


def test_every_period_has_the_noise_of_the_first():
    for begin in range(0, 96, PERIOD):
        assert sorted(noise_source(frame, PERIOD, GROUP, 1) for frame in range(begin, begin + PERIOD)) == list(
            range(PERIOD))


def test_any_period_of_whole_groups_has_each_noise_once():
    for begin in range(0, 96, GROUP):
        window = [noise_source(frame, PERIOD, GROUP, 1) for frame in range(begin, begin + PERIOD)]
        assert len(set(window)) == PERIOD


def test_the_first_frames_keep_their_own_and_later_ones_change_places():
    assert [noise_source(frame, PERIOD, GROUP, 1) for frame in range(PERIOD)] == list(range(PERIOD))
    orders = {tuple(noise_source(frame, PERIOD, GROUP, seed) for frame in range(begin, begin + PERIOD))
              for begin in range(PERIOD, 160, PERIOD) for seed in (1, 2)}
    assert len(orders) > 10


@pytest.mark.parametrize(("period", "group"), [(16, 5), (16, 0), (4, 8)])
def test_groups_that_do_not_divide_the_period_are_refused(period, group):
    with pytest.raises(ValueError, match=f"every {period} frames in groups of {group}; expected groups that divide"):
        noise_source(20, period, group, 1)

"""Between key frames: what each frame is made of, and prompts of different lengths side by side."""

from itertools import accumulate

import pytest
import torch
from animatelcm.keyframes.travel import blends, to_common_length, travel
from torch.nn.functional import scaled_dot_product_attention
from torch.profiler import ProfilerActivity, profile


def mixed(keys, num_frames, interpolation="linear"):
    return [(blend.first, blend.second, blend.weight) for blend in blends(keys, num_frames, interpolation)]


def test_linear_goes_evenly_and_stays_outside():
    values = travel(torch.tensor([[1.0], [3.0], [2.0]]), blends([1, 5, 7], 10, "linear"))
    assert values.flatten().tolist() == [1, 1, 1.5, 2, 2.5, 3, 2.5, 2, 2, 2]


def test_hold_stays_until_the_next():
    values = travel(torch.tensor([[1.0], [3.0]]), blends([1, 3], 6, "hold"))
    assert values.flatten().tolist() == [1, 1, 1, 3, 3, 3]


def test_key_frames_are_exact():
    keys = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(travel(keys, blends([0, 3, 10], 11, "linear"))[[0, 3, 10]], keys)


def test_beside_the_result_there_is_one_copy_at_most():
    keys, found = torch.randn(2, 77, 64), blends([0, 511], 512, "linear")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        result = travel(keys, found)
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    peak = max(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))
    assert result.nbytes < peak < 2.2 * result.nbytes


def test_one_key_frame_is_everywhere():
    assert mixed([3], 5) == [(0, 0, 0.0)] * 5


@pytest.mark.parametrize(("keys", "interpolation"), [([], "linear"), ([3, 1], "linear"), ([1, 1], "hold"),
                                                     ([0], "cubic")])
def test_what_makes_no_sense_is_refused(keys, interpolation):
    with pytest.raises(ValueError, match="expected one"):
        blends(keys, 4, interpolation)


def test_repeated_prompts_act_as_they_do_alone():
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randn(1, length, 8, generator=generator) for length in (77, 154, 231)]
    joined = to_common_length(prompts)
    assert joined.shape == (3, 462, 8)
    query = torch.randn(1, 5, 8, generator=generator)
    for alone, longer in zip(prompts, joined, strict=True):
        torch.testing.assert_close(scaled_dot_product_attention(query, longer[None], longer[None]),
                                   scaled_dot_product_attention(query, alone, alone))


class Counted(int):
    """A number that counts how often it is compared."""

    compared = 0

    def _compare(self, other, operation):
        Counted.compared += 1
        return operation(int(self), other)

    def __lt__(self, other):
        return self._compare(other, int.__lt__)

    def __le__(self, other):
        return self._compare(other, int.__le__)

    def __gt__(self, other):
        return self._compare(other, int.__gt__)


def test_many_key_frames_are_not_all_looked_at_for_each_frame():
    keys = [Counted(3 * number) for number in range(300)]
    Counted.compared = 0
    assert blends(keys, 900, "hold") == blends(list(map(int, keys)), 900, "hold")
    assert Counted.compared < 20 * 900

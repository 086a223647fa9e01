"""Numbers that change over the frames."""

import pytest
from animatelcm.keyframes.curve import parse_curve
from animatelcm.keyframes.text import KeyFrameError


def test_a_curve_goes_evenly_between_its_numbers():
    curve = parse_curve("4: 0.5, 0: 1\n6: 2e0", 0, 10)
    assert curve.over(8).tolist() == [1, 0.875, 0.75, 0.625, 0.5, 1.25, 2, 2]


@pytest.mark.parametrize("value", ["much", "-0.1", "10.1", "nan", "inf", "1 2"])
def test_a_value_that_is_no_number_of_the_range_is_refused(value):
    with pytest.raises(KeyFrameError, match=f"^line 2, column 2: .*from 0 to 10 for frame 3, got '{value}'"):
        parse_curve(f"0: 1,\n 3: {value}", 0, 10)


def test_a_curve_for_a_longer_video_is_refused():
    curve = parse_curve("0: 1, 8: 2", 0, 10)
    curve.check(9)
    with pytest.raises(KeyFrameError, match="column 7: there is no frame 8 in a video of 8"):
        curve.check(8)

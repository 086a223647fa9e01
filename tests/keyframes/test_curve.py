"""Numbers that change over the frames."""

import pytest
from animatelcm.keyframes.curve import Drawn, Listed, check_range, parse_curve
from animatelcm.keyframes.errors import KeyFrameError


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


@pytest.mark.parametrize("text", [
    "0: (1.0), max_f-1: (0.0)", '{"0": 1, "8": 0}', "'0%': '1', '100%': '0'", "0: 100%, 8: 0%",
    "“0”：“1”，“max_f”：“0”"])
def test_curves_as_other_tools_write_them(text):
    assert parse_curve(text, 0, 10).over(9).tolist() == [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0]


@pytest.mark.parametrize(("text", "column", "said"), [
    ("0: (0.5*sin(t/12))", 1, "a number from 0 to 10 for frame 0, got .*Formulas are not computed"),
    ("0: 1, 50%: x", 7, "for frame 50%, got 'x'"),
    ("0: 1_0", 1, "got '1_0'"),
    ("0-8: 1", 1, "Ranges of frames are not read"),
    ("motion\n0: 1", 1, "a frame number"),
    ("0: `t`", 1, "got '`t`'"),
])
def test_what_is_no_curve_is_refused_where_it_stands(text, column, said):
    with pytest.raises(KeyFrameError, match=f"^line 1, column {column}: .*{said}"):
        parse_curve(text, 0, 10)


def test_a_curve_is_as_long_as_its_video():
    curve = parse_curve("0%: 0, 100%: 1", 0, 10)
    assert curve.over(3).tolist() == [0, 0.5, 1]
    assert curve.over(5).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_a_list_is_for_its_own_number_of_frames():
    listed = Listed((0.5, 1.0, 0.25), "scale_values")
    assert listed.over(3).tolist() == [0.5, 1.0, 0.25]
    for frames in (2, 4):
        with pytest.raises(ValueError, match=f"scale_values was given 3 numbers for a video of {frames} frames"):
            listed.check(frames)


def test_a_drawn_line_is_for_any_number_of_frames():
    drawn = Drawn(lambda share: 2 * share)
    assert [drawn.over(frames).tolist() for frames in (1, 2, 5)] == [[0.0], [0.0, 2.0], [0.0, 0.5, 1.0, 1.5, 2.0]]
    drawn.check(1000)


@pytest.mark.parametrize(("curve", "message"), [
    (Listed((0.0, 1.5)), "values has 1.5 at frame 1; expected numbers from 0 to 1"),
    (Drawn(lambda share: 4 * share), "values has 1.0.* at 25% of the video; expected numbers from 0 to 1"),
    (Drawn(lambda share: float("nan")), "values has nan at 0% of the video; expected finite numbers"),
])
def test_numbers_outside_of_the_range_are_refused_with_their_place(curve, message):
    with pytest.raises(ValueError, match=message):
        check_range(curve, 0.0, 1.0)
    check_range(Listed((0.0, 1.0)), 0.0, 1.0)

"""Key frames as text: what is read, and where an error points."""

import pytest
from animatelcm.client.workflow import as_schedule
from animatelcm.keyframes.text import KeyFrameError, check_frames, parse


def read(text):
    return [(entry.frame, entry.value) for entry in parse(text)]


@pytest.mark.parametrize(("text", "expected"), [
    ("0: spring, 32: summer", [(0, "spring"), (32, "summer")]),
    ("0: spring\n32: summer\n", [(0, "spring"), (32, "summer")]),
    ("0: spring,\r\n\r\n  32 :  summer ,\r\n", [(0, "spring"), (32, "summer")]),
    ("32: summer, 0: spring", [(0, "spring"), (32, "summer")]),
    ("0: a cat, sitting, 8k, 1girl, 35mm, 4: a dog, running", [(0, "a cat, sitting, 8k, 1girl, 35mm"),
                                                             (4, "a dog, running")]),
    ("0: (cat, 2 ears:1.2), embedding:x, 4: dog", [(0, "(cat, 2 ears:1.2), embedding:x"), (4, "dog")]),
    ("0: a face :), 4: another :(", [(0, "a face :)"), (4, "another :(")]),
    (r"0: cat \(animal, 4: dog", [(0, r"cat \(animal"), (4, "dog")]),
    ('0: "a photo, 16:9, 2 cats,\nby night", 4: dog', [(0, "a photo, 16:9, 2 cats,\nby night"), (4, "dog")]),
    (r'"0" :"he says \"hi\"",' + '\n"12":"summer"', [(0, 'he says "hi"'), (12, "summer")]),
    ('0: "", 4: dog', [(0, ""), (4, "dog")]),
    ('0: a "quoted" word, 4: dog', [(0, 'a "quoted" word'), (4, "dog")]),
    ("007: agent", [(7, "agent")]),
])
def test_entries(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(("text", "line", "column", "told"), [
    ("0: spring\n32 summer", 2, 4, "colon after the frame number 32, got 'summer'"),
    ("0: spring, 32 summer", 1, 14, "colon after the frame number 32.*double quotes"),
    ('0: spring, "32" summer', 1, 16, "colon after the frame number 32"),
    ("0: spring, 32, summer", 1, 14, "colon after the frame number 32"),
    ("0: spring, 32", 1, 14, "colon after the frame number 32"),
    ("0", 1, 2, "colon after the frame number 0, got the end of the text"),
    ("a red square", 1, 1, "a frame number and a colon, such as '0:', got 'a red square'"),
    ("0: a cat,\n  sitting", 2, 3, "a frame number and a colon.*got 'sitting'.*several lines"),
    ("0: spring, -8: summer", 1, 12, "a frame number.*got '-8: summer'"),
    ("0: spring, 0.5: summer", 1, 12, "a frame number.*got '0.5: summer'"),
    ("0: spring, 8:, 9: x", 1, 14, "a value for frame 8"),
    ("0: spring\n8:", 2, 3, "a value for frame 8, got the end of the text.*Write \"\""),
    ("8: spring,\n 0: x, 8: summer", 2, 8, "frame 8 has a value already, at line 1, column 1"),
    ("0: (spring, 8: summer)", 1, 13, "within the parenthesis of line 1, column 4"),
    ('0: "spring, 8: summer', 1, 4, "never closed"),
    ('0: "spring" 8: summer', 1, 13, "a comma or a new line.*got '8: summer'"),
])
def test_errors_say_where_and_what_was_expected(text, line, column, told):
    with pytest.raises(KeyFrameError, match=f"(?s)^line {line}, column {column}: .*{told}"):
        parse(text)


@pytest.mark.parametrize("text", ["", " \n, ,\n"])
def test_nothing_is_an_error(text):
    with pytest.raises(KeyFrameError, match="no key frames.*such as '0: spring, 16: summer'"):
        parse(text)


@pytest.mark.parametrize("prompt", ["a dog", 'say "hi", 2: x', "(a, 3: b)", "4k, 2 dogs"])
def test_any_prompt_becomes_a_schedule(prompt):
    """The command line hands its prompts to schedules this way."""
    assert read(as_schedule(prompt)) == [(0, prompt)]


def test_frames_that_the_video_does_not_have():
    text = "0: spring,\n16: summer"
    check_frames(text, parse(text), 17)
    with pytest.raises(KeyFrameError, match="^line 2, column 1: there is no frame 16 in a video of 16.* 0 to 15"):
        check_frames(text, parse(text), 16)

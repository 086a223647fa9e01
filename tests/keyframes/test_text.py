"""Key frames as text: what is read, and where an error points."""

import random

import pytest
from animatelcm.client.texts import as_schedule
from animatelcm.keyframes.curve import parse_curve
from animatelcm.keyframes.errors import KeyFrameError
from animatelcm.keyframes.prompts import read_prompts
from animatelcm.keyframes.text import read as parse


def read(text, num_frames=101):
    return [(entry.frame, entry.value) for entry in parse(text).in_video(num_frames)]


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
    # As other packs and keyboards write them.
    ('{"0": "a", "8": "b"}', [(0, "a"), (8, "b")]),
    ('{\n  "0": "a \\\\(b\\\\), \\"c\\"",\n  "8": "d",\n}\n', [(0, 'a \\(b\\), "c"'), (8, "d")]),
    (r'{"0": "a \(b\)"}', [(0, r"a \(b\)")]),
    ("{0: 0.5, 8: (1.0)}", [(0, "0.5"), (8, "(1.0)")]),
    ("'0': 'a, b', '8': 'the dog's life'", [(0, "a, b"), (8, "the dog's life")]),
    ("“0”: “a, 2 b”, ‘8’: ‘dog’s life’\n„16“: „c“", [(0, "a, 2 b"), (8, "dog’s life"), (16, "c")]),
    ("0: 'tis a dog's life, 8: 'cats' and dogs", [(0, "'tis a dog's life"), (8, "'cats' and dogs")]),
    ("0：春，8： 夏", [(0, "春"), (8, "夏")]),
    ('0 = "a", 8="b"', [(0, "a"), (8, "b")]),
    ("0: a = b, 8: c", [(0, "a = b"), (8, "c")]),
    ("0%: a, 50 %: b\n'100%': c", [(0, "a"), (50, "b"), (100, "c")]),
    ('0: a, "max_f / 2 - 1": b, "max_f*0.75": c, max_f-1: d', [(0, "a"), (49, "b"), (75, "c"), (100, "d")]),
    ("max_f: a", [(100, "a")]),
    ("0: a photo 16:9, Blade Runner 2049, 4: b", [(0, "a photo 16:9, Blade Runner 2049"), (4, "b")]),
])
def test_entries(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(("text", "line", "column", "message"), [
    ("0: spring\n32 summer", 2, 4, "colon after the frame number 32, got 'summer'"),
    ("0: spring, 32 summer", 1, 14, "colon after the frame number 32.*double quotes"),
    ('0: spring, "32" summer', 1, 16, "colon after the frame number 32"),
    ("0: spring, 32, summer", 1, 14, "colon after the frame number 32"),
    ("0: spring, 32", 1, 14, "colon after the frame number 32"),
    ("0", 1, 2, "colon after the frame number 0, got the end of the text"),
    ("a red car", 1, 1, "a frame number and a colon, such as '0:', got 'a red car'"),
    ("0: a cat,\n  sitting", 2, 3, "a frame number and a colon.*got 'sitting'.*several lines"),
    ("0: spring, -8: summer", 1, 12, "a frame number.*got '-8: summer'"),
    ("0: spring, 0.5: summer", 1, 12, "a frame number.*got '0.5: summer'"),
    ("0: spring, 8:, 9: x", 1, 14, "a value for frame 8"),
    ("0: spring\n8:", 2, 3, "a value for frame 8, got the end of the text.*Write \"\""),
    ("8: spring,\n 0: x, 8: summer", 2, 8, "frame 8 has a value already, at line 1, column 1"),
    ("0: (spring, 8: summer)", 1, 13, "within the parenthesis of line 1, column 4"),
    ('0: "spring, 8: summer', 1, 4, "never closed"),
    ('0: "spring" 8: summer', 1, 13, "a comma or a new line.*got '8: summer'"),
    ("0: a, 0-8: b", 1, 7, "a frame number.*got '0-8: b'. Ranges of frames are not read"),
    ('"0:8": "a"', 1, 1, "Ranges of frames are not read"),
    ("0: a\n120%: b", 2, 1, "a frame number.*got '120%: b'. .* 0% to 100%, max_f-1"),
    ("0: a, max_f/0: b", 1, 7, "a frame number.*got 'max_f/0: b'"),
    ("0: a, max_f**2: b", 1, 7, "a frame number.*max_f-1"),
    ("0: a, max_f 8: b", 1, 7, "a frame number"),
    ('{"0": "a"', 1, 1, "this brace is never closed"),
    ('{"0": "a"}\nb', 1, 1, "this brace is never closed"),
    ('{"0": "a", "b": "c"}', 1, 12, 'a frame number.*got \'"b": "c"'),
    ("0: “a, 8: b", 1, 4, "never closed"),
    ("0: spring 8: summer", 1, 11, "a comma or a new line before the frame number 8.*double quotes"),
    ("0: spring; 8: summer", 1, 12, "a comma or a new line before the frame number 8"),
    ("9999999999: a", 1, 1, "a frame number"),
    ("0: a\nb\n8: c", 2, 1, "a frame number.*several lines"),
    ("a\n0: b", 1, 1, "a frame number"),
])
def test_errors_say_where_and_what_was_expected(text, line, column, message):
    with pytest.raises(KeyFrameError, match=f"(?s)^line {line}, column {column}: .*{message}"):
        parse(text)


@pytest.mark.parametrize("text", ["", " \n, ,\n"])
def test_nothing_is_an_error(text):
    with pytest.raises(KeyFrameError, match="no key frames.*such as '0: spring, 16: summer'"):
        parse(text)


@pytest.mark.parametrize("prompt", ["a dog", 'say "hi", 2: x', "(a, 3: b)", "4k, 2 dogs"])
def test_any_prompt_becomes_a_schedule(prompt):
    """The command line hands its prompts to schedules this way."""
    assert read(as_schedule(prompt)) == [(0, prompt)]


@pytest.mark.parametrize("schedule", ["0: a, 8: b", '{"0": "a"}', "50%: a", '"max_f-1": "a"', "'0': 'a'",
                                      "a cat\n0: red\n8: blue"])
def test_a_schedule_is_handed_on_as_it_is(schedule):
    assert as_schedule(schedule) == schedule


def test_frames_that_the_video_does_not_have():
    text = "0: spring,\n16: summer"
    assert len(parse(text).in_video(17)) == 2
    with pytest.raises(KeyFrameError, match="^line 2, column 1: there is no frame 16 in a video of 16.* 0 to 15"):
        parse(text).in_video(16)


def test_two_names_of_one_frame():
    with pytest.raises(KeyFrameError, match="^line 2, column 1: frame 8 has a value already, at line 1, column 7"):
        parse("0: a, 8: b\n50%: c").in_video(17)
    with pytest.raises(KeyFrameError, match="there is no frame 18 in a video of 17"):
        parse("max_f+1: a").in_video(17)
    with pytest.raises(KeyFrameError, match="there is no frame -3 in a video of 17"):
        parse("max_f-20: a").in_video(17)


PIECES = ["0", "8", "-1", "0.5", "%", "max_f", "max_f-1", ":", "：", ",", ", ", "\n", "\r", " ", "\t", '"', "'", "“",
          "”", "‘", "’", "«", "„", "{", "}", "[", "(", ")", "\\", '\\"', "\\u12", "=", "`t/2`", "`", "--neg", "#", "//",
          "a cat", "1girl", "sin(t)", "1e5", "²", "٣", "\x00", "\u2028", "😀", ";", "|", "9" * 5000,
          "max_f" + "*9" * 50]


@pytest.mark.parametrize("seed", range(40))
def test_any_text_is_read_or_refused_with_its_place(seed):
    """Nothing but KeyFrameError comes out of a text, whatever it is made of."""
    chance = random.Random(seed)
    for _ in range(100):
        text = "".join(chance.choices(PIECES, k=chance.randint(0, 14)))
        for attempt in (lambda text=text: read_prompts(text, 16, text, text).whole(),
                        lambda text=text: read_prompts(text, 1).whole(), lambda text=text: read(text, 16),
                        lambda text=text: parse_curve(text, 0, 10).over(16)):
            try:
                attempt()
            except KeyFrameError as problem:
                assert "line " in str(problem) or "no key frames" in str(problem)


@pytest.mark.parametrize("piece", [" ", "\t", ",", "0", "(", '"', "'", "“", "`", "max_f", "0:", "\n", " 0 ", "--",
                                   "\n ", "’a", "',", "{", "%"])
def test_long_texts_take_no_longer_than_their_length_asks(piece):
    """A pattern that tries everything twice would not end here."""
    for text in (piece * 20000, "0: a, " + piece * 20000, "0: " + piece * 20000 + "\n8: b", '"' + piece * 20000):
        try:
            read_prompts(text, 16).whole()
        except KeyFrameError:
            continue

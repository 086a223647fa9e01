"""Prompts that change over the frames: what all of them share, and what is no prompt."""

import re
from pathlib import Path

import pytest
from animatelcm.keyframes.errors import KeyFrameError
from animatelcm.keyframes.prompts import join, read_prompts


def prompts(text, *around):
    read = read_prompts(text, 16, *around)
    return {key.frame: prompt for key, prompt in zip(read.keys, read.whole(), strict=True)}


@pytest.mark.parametrize(("text", "expected"), [
    ("1girl, (red:1.2),\n0: closed mouth\n8: open mouth\nsmile",
     {0: "1girl, (red:1.2), closed mouth, smile", 8: "1girl, (red:1.2), open mouth, smile"}),
    ("\nhead,\nmore\n\n0: a, 8: b,\n", {0: "head, more, a", 8: "head, more, b"}),
    ("0: a\n8: b\n\n, tail,\nmore ,", {0: "a, tail, more", 8: "b, tail, more"}),
    ('"0" :"a",\n"8" :"b",\ntail', {0: "a, tail", 8: "b, tail"}),
    ("  head\n  0: a\n  8: b\n  tail", {0: "head, a, tail", 8: "head, b, tail"}),
    ("head\r\n0: a\r\ntail\r\n", {0: "head, a, tail"}),
])
def test_lines_around_the_key_frames_belong_to_all(text, expected):
    assert prompts(text) == expected


@pytest.mark.parametrize("text", ["0: a,  b ,8: c", '0: " a, ", 8: "\n"', "0: (a:1.2), 8: <b>"])
def test_prompts_with_nothing_around_them_stay_as_they_are_written(text):
    read = read_prompts(text, 16)
    assert read.whole() == [key.value for key in read.keys]


def test_prefix_and_suffix_stand_outside_of_the_lines():
    assert prompts("head\n0: a\n8: \"\"\ntail", "style,", ", best\n") == {
        0: "style, head, a, tail, best", 8: "style, head, tail, best"}
    assert prompts("0: a, 8: b", "", "best") == {0: "a, best", 8: "b, best"}
    assert join("", "a,", " ", ", b") == "a, b"


@pytest.mark.parametrize(("text", "line", "column", "said"), [
    ("0: a, 8: a (cat:`sin(t/12)`)", 1, 17, "a formula or value in back-ticks: '`sin"),
    ('"0": "a, `0.5*t` b",\n"8": "c `pw_a`"', 1, 10, "back-ticks"),
    ("0: a `strength` b", 1, 6, "back-ticks"),
    ("`max_f-t`\n0: a", 1, 1, "back-ticks"),
    ('"0": "a cat --neg blurry"', 1, 13, "the option --neg.*for the negative input"),
    ("0: a cat--neg blurry", 1, 9, "the option --neg"),
    ("0: a\n8: b --ar 16:9", 2, 6, "the option --ar.*use the inputs of the nodes"),
    ("0: a\n--neg blurry", 2, 1, "the option --neg"),
    ("0: a\nNegative prompt: blurry\nSteps: 20", 2, 1, "a negative prompt"),
    ('0: (1.0), "max_f-1": (0.0)', 1, 4, r"the number or formula '\(1.0\).*Motion Control"),
    ("0: 0.5\n8: 1", 1, 4, "the number or formula"),
    ("0: a, 8: (0.5*sin(t/12))", 1, 10, "the number or formula"),
    ('0: = "a"', 1, 4, "Write each entry as FRAME: PROMPT"),
    ('0:8 = "a"', 1, 3, "Write each entry as FRAME: PROMPT"),
    ('{"0": {"prompt": "a"}}', 1, 7, "Write each entry as FRAME: PROMPT"),
    ('{"0": ["a", "b"]}', 1, 7, "Write each entry as FRAME: PROMPT"),
    ("# the seasons\n0: a", 1, 1, "Comments are not read"),
    ("0: a\n// the end", 2, 1, "Comments are not read"),
    ("0 spring\n8: summer", 1, 2, "a colon after the frame number 0, got 'spring'"),
    ("0: spring\n8: summer\n15 autumn", 3, 3, "a colon after the frame number 15"),
    ("head, 0: spring\n8: summer", 1, 6, "the first frame number at the beginning of a line"),
    ("0: spring\n8: summer,\nflowers", 3, 1, "Put a value of several lines into double quotes"),
    ("0: spring\n8: summer\n  flowers", 3, 3, "Put a value of several lines into double quotes"),
    ("0: spring\nflowers\n8: summer", 2, 1, "Put a value of several lines into double quotes"),
])
def test_what_is_no_prompt_is_refused_where_it_stands(text, line, column, said):
    with pytest.raises(KeyFrameError, match=f"(?s)^line {line}, column {column}: .*{said}"):
        read_prompts(text, 16)


def test_a_prefix_is_named_when_it_is_refused():
    with pytest.raises(KeyFrameError, match="^suffix, line 1, column 3: .*the option --neg"):
        read_prompts("0: a", 16, "fine", "b --neg c")
    with pytest.raises(KeyFrameError, match="^prefix, line 1, column 1: .*back-ticks"):
        read_prompts("0: a", 16, "`t`")


@pytest.mark.parametrize("prompt", [
    "rock 'n' roll, the cat`s and the dog`s bowl", "a -- b, c - d", "score_9, 1girl, 8k", "35mm photo", "t", "(cat)",
    "[cat:dog:0.5]", "a = b", "Chapter 2:the return", "...", "{red|blue} cat", "embedding:good-1.5", "x--y",
])
def test_words_of_all_kinds_are_prompts(prompt):
    assert prompts(f"0: {prompt}, 8: b") == {0: prompt, 8: "b"}


def test_digits_in_quotes_are_a_prompt():
    assert prompts('0: "2049", 8: b') == {0: "2049", 8: "b"}


def test_the_examples_of_the_help_page_are_read():
    docs = Path(__file__).resolve().parents[2] / "web" / "docs"
    page = (docs / "AnimateLCM_PromptSchedule" / "en.md").read_text("utf-8")
    examples = [block.replace("\n    ", "\n").strip() for block in re.findall(r"(?:\n    .+)+", page)]
    examples += [found for found in re.findall("`([^`]*)`", page) if re.match(r'"?0"?: (?!\()', found)]
    assert len(examples) >= 5
    for example in examples:
        assert 1 <= len(prompts(example)) <= 3, example


@pytest.mark.parametrize(("text", "place", "shown"), [
    ("16:9 photo of a cat", "line 1, column 1", '0: "16:9 photo of a cat"'),
    ("12:30 at noon", "line 1, column 1", '0: "12:30 at noon"'),
    (" 4: a list ", "line 1, column 2", '0: "4: a list"'),
    ("best quality\n16:9 photo", "line 2, column 1", '0: "16:9 photo"'),
    ("16:9 photo,\n4:3 print\nbest quality", "line 1, column 1", '0: "16:9 photo"'),
    ("8:summer", "line 1, column 1", '0: "8:summer"'),
    ("16：9 photo", "line 1, column 1", '0: "16：9 photo"'),
])
@pytest.mark.parametrize("num_frames", [16, 32])
def test_a_prompt_that_begins_with_a_number_and_a_colon_is_no_key_frame(text, place, shown, num_frames):
    """Read as one, its first number would be lost without a word."""
    said = f"^{place}: .*could be a key frame or part of a prompt.*{re.escape(shown)}"
    with pytest.raises(KeyFrameError, match=said):
        read_prompts(text, num_frames)
    frame, prompt = re.fullmatch('([0-9]+): "(.*)"', shown).groups()
    assert prompts(shown) == {int(frame): prompt}, "what the message advises"


@pytest.mark.parametrize(("text", "expected"), [
    ("0: a", {0: "a"}), ("0:1girl", {0: "1girl"}), ("00:30 at night", {0: "30 at night"}),
    ('"8": "summer"', {8: "summer"}), ('8: "summer"', {8: "summer"}), ('{"8": "summer"}', {8: "summer"}),
    ("50%: a", {8: "a"}), ("max_f-1: a", {15: "a"}),
    ("4: spring, 12: summer", {4: "spring", 12: "summer"}), ("4:2girls, 12:1girl", {4: "2girls", 12: "1girl"}),
    ("4: 2 cats, 12:1 cat", {4: "2 cats", 12: "1 cat"}), ("0:1 cat, 8:2 cats", {0: "1 cat", 8: "2 cats"}),
])
def test_what_is_written_as_a_key_frame_is_one(text, expected):
    assert prompts(text) == expected

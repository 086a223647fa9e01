"""Prompts that change over the frames, and what other tools write into theirs that is no prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import error, glimpse, rest_of_line
from .text import Entry, KeyFrame, Schedule, read

FORMULA = re.compile(r"(?=[^0-9]*[0-9])(?:[\s0-9.()+\-*/%^,<>=]"
                     r"|\b(?:t|s|max_f|pi|sin|cos|tan|abs|sqrt|exp|log|where)\b)+")
"""A number, or numbers that are computed from the frame `t`; commas and names as FizzNodes and Deforum have them."""
BACK_TICKS = re.compile(r"(?=`([^`\n]{1,200})`)")
OPTION = re.compile(r"(?:(?<![^\s,])--[A-Za-z]|--neg)[\w-]*")
NEGATIVE = re.compile(r"^[ \t]*negative[ _]?prompt[ \t]*:", re.IGNORECASE | re.MULTILINE)
RATIO = re.compile(r"[0-9]+[:：][0-9]+(?!\w)")
"""Such as 16:9 or 12:30, also where a key frame's prompt begins with a number."""
STRUCTURE = re.compile(r"[-0-9.]*[ \t]*=[ \t]*[\"'“‘]|[\[{][ \t]*[\"'“‘][^\"'”’\n]*[\"'”’][ \t]*[:,\]}]")


@dataclass(frozen=True)
class Prompts:
    """The prompts of a video."""

    keys: list[KeyFrame]
    """As written, by frame."""
    before: str
    """What stands before every one."""
    after: str

    def whole(self) -> list[str]:
        """Return each prompt with what stands around it; as it was written where nothing does."""
        return [join(self.before, key.value, self.after) if self.before or self.after else key.value
                for key in self.keys]


def read_prompts(text: str, num_frames: int, prefix: str = "", suffix: str = "") -> Prompts:
    """Return the prompts of a text.

    The lines before the first key frame and after the last one belong to every prompt, as sd-webui-animatediff has
    them; `prefix` and `suffix` stand outside of those.

    Raises:
        KeyFrameError: The text is no schedule, names a frame that the video does not have, or has something in it that
            is no prompt, such as a formula.
    """
    schedule = read(text, shared_lines=True)
    _check_keys(schedule)
    for entry in schedule.entries:
        _check_value(text, *entry.span, entry.quoted)
    for lines in (schedule.head, schedule.tail):
        _check_words(text, *lines)
    for name, words in (("prefix", prefix), ("suffix", suffix)):
        _check_words(words, 0, len(words), f"{name}, ")
    head, tail = (text[slice(*lines)].splitlines() for lines in (schedule.head, schedule.tail))
    return Prompts(schedule.in_video(num_frames), join(prefix, *head), join(*tail, suffix))


def join(*parts: str) -> str:
    """Return texts after one another with a comma between two; those without a word are left out."""
    words = [part.strip(" \t\r\n,，") for part in parts]
    return ", ".join(part for part in words if part)


def _check_keys(schedule: Schedule) -> None:
    """Check that a text without a prompt for frame 0 is none that begins with a ratio, a time or the number of a list.

    As a key frame such a number would be lost without a word.
    """
    text, [first, *more] = schedule.text, schedule.entries
    if not all(_is_bare(text, entry) and int(entry.written) > 0 for entry in schedule.entries):
        return
    if not more or all(RATIO.match(text, entry.place) for entry in schedule.entries):
        written = rest_of_line(text, first.place).rstrip(" \t,，").replace('"', '\\"')
        raise error(text, first.place, f"{glimpse(text, first.place)} could be a key frame or part of a prompt. For a "
                                       f"prompt of all frames, write it in quotes after frame 0: 0: \"{written}\". For "
                                       "key frames, begin with frame 0")


def _is_bare(text: str, entry: Entry) -> bool:
    """Say whether an entry has a plain number and no quotes at all, so that it may be words."""
    return entry.written.isdecimal() and text.startswith(entry.written, entry.place) and not entry.quoted


def _check_value(text: str, start: int, end: int, quoted: bool) -> None:
    value = text[start:end].strip(" \t\r,，")
    if not quoted and FORMULA.fullmatch(value):
        raise error(text, start, f"expected a prompt, got the number or formula {glimpse(text, start)}. Numbers belong "
                                 "into a curve, such as Motion Control's; put a prompt of digits into double quotes")
    if not quoted and STRUCTURE.match(value):
        raise error(text, start, f"expected a prompt, got {glimpse(text, start)}. Write each entry as FRAME: PROMPT")
    _check_words(text, start, end)


def _check_words(text: str, start: int, end: int, where: str = "") -> None:
    """Check that a part of a text has nothing that other tools read in another way than as words."""
    part = text[start:end]
    for ticked in BACK_TICKS.finditer(part):
        if _is_formula(ticked[1]):
            _refuse(text, start + ticked.start(), where, "a formula or value in back-ticks", "It is not computed here: "
                    "write the number itself, and a key frame for each change")
    if found := OPTION.search(part):
        _refuse(text, start + found.start(), where, f"the option {found[0]}",
                "What is not wanted belongs into a Prompt Schedule of its own, for the negative input"
                if found[0].startswith("--neg") else "Options of other tools are not read: use the inputs of the nodes")
    if found := NEGATIVE.search(part):
        _refuse(text, start + found.start(), where, "a negative prompt",
                "It belongs into a Prompt Schedule of its own, for the negative input")


def _refuse(text: str, place: int, where: str, what: str, advice: str) -> None:
    refused = error(text, place, f"expected a prompt, got {what}: {glimpse(text, place)}. {advice}")
    raise type(refused)(f"{where}{refused}")


def _is_formula(words: str) -> bool:
    """Say whether text between back-ticks is no text: a formula, or the name of a value as AnimateDiff-Evolved has."""
    return bool(re.fullmatch(r"[ \t]*[\w.]+[ \t]*", words) or FORMULA.fullmatch(
        re.sub(r"\b(?:t|max_f|pw_[a-d])\b", "1", words)))

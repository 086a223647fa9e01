"""Key frames as users write them: `0: spring, 32: summer`, after commas or on lines of their own.

    text      = [ head ] entries [ tail ] | "{" entries "}"
    entries   = entry { ("," | new line) entry }
    entry     = frame ":" value | frame "=" value in quotes
    frame     = a frame as in frames.py, in quotes or not
    value     = text up to the next entry, or text in quotes, where \\" stands for a double quote
    head,tail = whole lines before the first entry and after the last one

Commas, colons and parentheses belong to a value, unless a frame number and a colon follow a comma. A number without its
colon after a comma could be meant either way and is an error, which quotes resolve. Braces, single and curly quotes and
full-width signs are read because other packs and keyboards write them. In braces the quoted values are JSON's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .errors import KeyFrameError, error, glimpse, position, rest_of_line
from .frames import Frame, read_frame

CLOSING = {'"': '"', "“": "”", "”": "”", "„": "“”", "«": "»", "'": "'", "‘": "’", "’": "’"}
"""What ends a text that begins with a quote."""
SINGLE = "'‘’"
"""Quotes that are apostrophes as well."""
QUOTE = "".join({*CLOSING, *"".join(CLOSING.values())})
SEPARATOR = rf"[ \t]*(?:[:：]|=(?=[ \t]*[{QUOTE}]))"
KEY = (rf"[ \t]*(?:[{QUOTE}](?:[-+0-9.][-+0-9.:% ]{{0,30}}|max_f[^{QUOTE}\n,:：]{{0,40}})[{QUOTE}]"
       rf"|[-+]?[0-9.]+(?:[ \t]*%|-[0-9.]+%?)?|max_f[^{QUOTE}\n,:：=]{{0,40}}){SEPARATOR}")
"""What is meant as the beginning of an entry; whether it names a frame is checked as it is read."""
COLON = re.compile(SEPARATOR)
NEXT_ENTRY = re.compile(KEY)
LINE_ENTRY = re.compile("^" + KEY, re.MULTILINE)
NEXT_NUMBER = re.compile(rf"[ \t]*[{QUOTE}]?(?P<number>[0-9]+)[{QUOTE}]?(?=[ \t,，\n]|$)")
FRAME = re.compile(rf"[{QUOTE}](?P<quoted>[^{QUOTE}\n]*)[{QUOTE}]|(?P<formula>max_f[^{QUOTE}\n,:：=]*)"
                   rf"|(?P<bare>[^\s:：,，={QUOTE}]+(?:[ \t]*%)?)")
UNMARKED_ENTRY = re.compile(r"(?<=[ \t;|])([0-9]{1,9})[ \t]*[:：][ \t]")
BLANK = re.compile(r"[ \t]*")
BETWEEN_ENTRIES = re.compile(r"[\s,，]*")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
EXAMPLE = "0: spring, 16: summer"


@dataclass(frozen=True)
class KeyFrame:
    """The value at one frame of a video."""

    frame: int
    """Counted from 0."""
    value: str
    place: int
    """Where the entry begins in the text."""


@dataclass(frozen=True)
class Entry:
    """One entry of a text."""

    when: Frame
    written: str
    """The frame as it was written, without quotes."""
    value: str
    place: int
    """Where it begins in the text."""
    span: tuple[int, int]
    """Where its value begins and ends in the text, with its quotes."""
    quoted: bool
    """Whether the value has quotes around it."""


@dataclass(frozen=True)
class Schedule:
    """The entries of a text, and the lines around them."""

    text: str
    entries: tuple[Entry, ...]
    head: tuple[int, int]
    """Where the lines before the first entry begin and end; empty where there are none."""
    tail: tuple[int, int]

    def in_video(self, num_frames: int) -> list[KeyFrame]:
        """Return the entries by their frame in a video.

        Raises:
            KeyFrameError: The video does not have a frame, or two entries have the same one.
        """
        found: dict[int, KeyFrame] = {}
        for entry in self.entries:
            frame = entry.when.at(num_frames)
            if not 0 <= frame < num_frames:
                raise error(self.text, entry.place, f"there is no frame {frame} in a video of {num_frames} frames. "
                                                    f"Expected 0 to {num_frames - 1}")
            if frame in found:
                raise _twice(self.text, entry.place, frame, found[frame].place)
            found[frame] = KeyFrame(frame, entry.value, entry.place)
        return [found[frame] for frame in sorted(found)]


def read(text: str, shared_lines: bool = False) -> Schedule:
    """Return the entries of a text.

    Args:
        shared_lines: Whether there may be a head and a tail.

    Raises:
        KeyFrameError: There are no entries, or one is not of the form FRAME: VALUE, is empty, or has the frame of
            another.
    """
    start, end, in_braces = _within_braces(text)
    head = _head(text, start) if shared_lines and not in_braces else (start, start)
    tail = (end, end)
    body = text[:end]  # cut at the end only, so that places stay the same
    found: dict[Frame, Entry] = {}
    last: Entry | None = None
    place = _past(BETWEEN_ENTRIES, body, head[1])
    while place < len(body):
        if shared_lines and not in_braces and last and _is_tail(body, place, last):
            tail = (place, end)
            break
        last, place = _entry(body, place, in_braces)
        if last.when in found:
            raise _twice(text, last.place, last.written, found[last.when].place)
        found[last.when] = last
        place = _past(BETWEEN_ENTRIES, body, place)
    if not found:
        raise KeyFrameError(f"there are no key frames. Expected entries such as '{EXAMPLE}'")
    return Schedule(text, tuple(found.values()), head, tail)


def _past(pattern: re.Pattern[str], text: str, place: int = 0) -> int:
    """Return where what the pattern takes at a place ends; the place itself where that is nothing."""
    found = pattern.match(text, place)
    return found.end() if found else place


def _twice(text: str, place: int, frame: int | str, first: int) -> KeyFrameError:
    return error(text, place, f"frame {frame} has a value already, at {position(text, first)}. Give each frame one")


def _within_braces(text: str) -> tuple[int, int, bool]:
    """Return where the entries begin and end, and whether they stand in braces, as JSON has them."""
    start = _past(BETWEEN_ENTRIES, text)
    inside = _past(BETWEEN_ENTRIES, text, start + 1)
    if text[start:start + 1] != "{" or not (text[inside:inside + 1] in ("", "}") or NEXT_ENTRY.match(text, inside)):
        return start, len(text), False
    end = len(text.rstrip(" \t\r\n,;"))
    if text[end - 1] != "}":
        raise error(text, start, "this brace is never closed. Expected '}' at the end")
    return start + 1, end - 1, True


def _head(text: str, start: int) -> tuple[int, int]:
    """Return where the lines before the first entry begin and end; none where no line begins with an entry."""
    first = LINE_ENTRY.search(text)
    if first is None or first.start() <= start:
        return start, start
    _check_shared(text, start, first.start())
    return start, first.start()


def _is_tail(text: str, place: int, last: Entry) -> bool:
    """Say whether everything from a place on stands after the last entry, for all of them."""
    line = text.rfind("\n", 0, place) + 1
    if line <= last.place or text[line:place].strip(" \t\r,，") or LINE_ENTRY.search(text, line):
        return False
    indented = _past(BLANK, text, line) - line > last.place - (text.rfind("\n", 0, last.place) + 1)
    if not last.quoted and (indented or text[slice(*last.span)].rstrip().endswith((",", "，"))):
        return False  # as likely the rest of the last value, and so an error
    _check_shared(text, place, len(text))
    return True


def _check_shared(text: str, start: int, end: int) -> None:
    """Check that lines around the entries hold nothing that was meant as an entry."""
    place = start
    for line in text[start:end].splitlines(keepends=True):
        written = place + len(line) - len(line.lstrip())
        if bare := NEXT_NUMBER.match(text, place):
            raise error(text, bare.end(), f"expected a colon after the frame number {bare['number']}, got "
                                          f"{glimpse(text, _past(BLANK, text, bare.end()))}")
        if line.lstrip().startswith(("#", "//")):
            raise error(text, written, f"expected a prompt, got {glimpse(text, written)}. Comments are not read")
        for comma in re.finditer("[,，]", line):
            if NEXT_ENTRY.match(line, comma.end()):
                raise error(text, place + comma.end(), "expected the first frame number at the beginning of a line. "
                                                       "Put text for every prompt on a line of its own before it")
        place += len(line)


def _entry(text: str, start: int, in_braces: bool) -> tuple[Entry, int]:
    """Return the entry that begins at a place, and where it ends."""
    frame = FRAME.match(text, start)
    number = next(part for part in frame.groups() if part is not None).strip() if frame else ""
    when = read_frame(number) if number else None
    if frame is None or when is None:
        raise error(text, start, f"expected a frame number and a colon, such as '0:', got {glimpse(text, start)}. "
                                 f"{_hint(number)}")
    colon = _past(BLANK, text, frame.end())
    if not (sign := COLON.match(text, frame.end())):
        raise error(text, colon, f"expected a colon after the frame number {number}, got {glimpse(text, colon)}")
    first = _past(BLANK, text, sign.end())
    quoted = _quoted(text, first, in_braces)
    value, end = quoted or _plain(text, first)
    if not value and quoted is None:
        raise error(text, first, f"expected a value for frame {number}, got {glimpse(text, first)}. Write \"\" for an "
                                 "empty one")
    return Entry(when, number, value, start, (first, end), quoted is not None), end


def _hint(number: str) -> str:
    if re.match(r"[0-9.]+%?[ \t]*[-:][ \t]*[0-9]", number):
        return "Ranges of frames are not read: give the value to the first and to the last frame of the range"
    if "%" in number or "max_f" in number:
        return "Frames by the video's length are 0% to 100%, max_f-1 (the last one) or such as max_f/2"
    return "Put a value of several lines into double quotes"


def _quoted(text: str, start: int, in_braces: bool) -> tuple[str, int] | None:
    """Return the value in quotes at a place, without them, and where it ends; None where it has none."""
    opening = text[start:start + 1]
    if opening not in CLOSING or not opening:
        return None
    if opening == '"':
        found = QUOTED.match(text, start)
        end = found.end() if found else None
    else:
        end = _closing(text, start, opening)
        if end is None and opening in SINGLE:
            return None
    if end is None:
        raise error(text, start, "this quote is never closed. Expected another one after the value")
    after = _past(BLANK, text, end)
    if text[after:after + 1] not in ("", ",", "，", "\n", "\r"):
        raise error(text, after, f"expected a comma or a new line after the closing quote, got {glimpse(text, after)}")
    value = text[start + 1:end - 1]
    if opening == '"':
        value = _json(text[start:end]) if in_braces else value.replace('\\"', '"')
    return value, after


def _closing(text: str, start: int, opening: str) -> int | None:
    """Return where the value ends whose curly or single quote is at a place, or None where none closes it.

    A single quote is an apostrophe unless the value could end there.
    """
    for found in re.compile(f"[{CLOSING[opening]}]").finditer(text, start + 1):
        after = _past(BLANK, text, found.end())
        ends = text[after:after + 1] in ("", "\n", "\r") or (
            text[after] in ",，" and (NEXT_ENTRY.match(text, after + 1) or not rest_of_line(text, after + 1).strip()))
        if ends or opening not in SINGLE:
            return found.end()
        if not (text[found.start() - 1].isalnum() and text[found.end():found.end() + 1].isalnum()):
            return None
    return None


def _json(quoted: str) -> str:
    try:
        return json.loads(quoted, strict=False)
    except ValueError:  # such as \( of a prompt, which other packs take as it is
        return quoted[1:-1].replace('\\"', '"')


def _plain(text: str, start: int) -> tuple[str, int]:
    """Return the value without quotes that begins at a place, and where it ends: at another entry or with the line."""
    opened: list[int] = []
    place = start
    while place < len(text) and text[place] != "\n":
        character = text[place]
        if character == "\\":
            place += 1
        elif character == "(":
            opened.append(place)
        elif character == ")" and opened:
            opened.pop()
        elif character in ",，" and _entry_follows(text, place + 1, opened):
            break
        elif not opened and (entry := UNMARKED_ENTRY.match(text, place)):
            raise error(text, place, f"expected a comma or a new line before the frame number {entry[1]}. If it "
                                     "belongs to the value before it, put that into double quotes")
        place += 1
    place = min(place, len(text))
    return text[start:place].rstrip(" \t\r,，"), place


def _entry_follows(text: str, place: int, opened: list[int]) -> bool:
    """Say whether the text after a comma is another entry; `opened` are the parentheses that are open there."""
    number = _past(BLANK, text, place)
    if NEXT_ENTRY.match(text, place):
        if opened:
            raise error(text, number, f"a frame number within the parenthesis of {position(text, opened[-1])}. Close "
                                      "that first, or put the value into double quotes")
        return True
    if (bare := NEXT_NUMBER.match(text, place)) and not opened:
        raise error(text, bare.end(), f"expected a colon after the frame number {bare['number']}. If {bare['number']} "
                                      "belongs to the value before it, put that into double quotes")
    return False

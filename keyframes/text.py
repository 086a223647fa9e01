"""Key frames as users write them: `0: spring, 32: summer`, after commas or on lines of their own.

    entries = entry { ("," | new line) entry }
    entry   = frame ":" value
    frame   = a whole number, in double quotes or not
    value   = text up to the next entry, or text in double quotes, where \\" stands for a quote

Commas, colons and parentheses belong to a value, unless a frame number and a colon follow a comma. A number without its
colon after a comma could be meant either way and is an error, which quotes resolve.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BLANK = re.compile(r"[ \t]*")
BETWEEN_ENTRIES = re.compile(r"[\s,]*")
FRAME = re.compile(r'"(?P<quoted>[^"\n]*)"|(?P<bare>[^\s:,"]+)')
NEXT_ENTRY = re.compile(r'[ \t]*(?:"[-+]?[\d.]+"|[-+]?[\d.]+)[ \t]*:')
"""What follows the comma before an entry; that its number is whole and not negative is checked as it is read."""
NEXT_NUMBER = re.compile(r'[ \t]*("?)(?P<number>\d+)\1(?=[ \t,\n]|$)')
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
EXAMPLE = "0: spring, 16: summer"


class KeyFrameError(ValueError):
    """A text of key frames cannot be read; the message says where and what was expected."""


@dataclass(frozen=True)
class KeyFrame:
    """One entry."""

    frame: int
    """Counted from 0."""
    value: str
    place: int
    """Where the entry begins in the text."""


def parse(text: str) -> list[KeyFrame]:
    """Return the entries of a text, by frame.

    Raises:
        KeyFrameError: There are none, or one is not of the form FRAME: VALUE, is empty, or has the frame of another.
    """
    found: dict[int, KeyFrame] = {}
    place = BETWEEN_ENTRIES.match(text).end()
    while place < len(text):
        entry, place = _entry(text, place)
        if entry.frame in found:
            raise error(text, entry.place, f"frame {entry.frame} has a value already, at "
                                           f"{position(text, found[entry.frame].place)}. Give each frame one")
        found[entry.frame] = entry
        place = BETWEEN_ENTRIES.match(text, place).end()
    if not found:
        raise KeyFrameError(f"there are no key frames. Expected entries such as '{EXAMPLE}'")
    return [found[frame] for frame in sorted(found)]


def check_frames(text: str, entries: list[KeyFrame], num_frames: int) -> None:
    """Check that every entry of a text is for a frame of the video.

    Raises:
        KeyFrameError: One is not.
    """
    for entry in entries:
        if entry.frame >= num_frames:
            raise error(text, entry.place, f"there is no frame {entry.frame} in a video of {num_frames} frames. "
                                           f"Expected 0 to {num_frames - 1}")


def error(text: str, place: int, message: str) -> KeyFrameError:
    """Return an error that begins with the line and column of a place in the text."""
    return KeyFrameError(f"{position(text, place)}: {message}")


def position(text: str, place: int) -> str:
    """Return the line and column of a place in a text, both counted from 1."""
    before = text[:place]
    return f"line {before.count(chr(10)) + 1}, column {place - before.rfind(chr(10))}"


def _entry(text: str, start: int) -> tuple[KeyFrame, int]:
    """Return the entry that begins at a place, and where it ends."""
    frame = FRAME.match(text, start)
    number = frame and (frame["quoted"] if frame["bare"] is None else frame["bare"])
    if not (number and re.fullmatch("[0-9]+", number)):
        raise error(text, start, f"expected a frame number and a colon, such as '0:', got {_glimpse(text, start)}. Put "
                                 "a value of several lines into double quotes")
    colon = BLANK.match(text, frame.end()).end()
    if text[colon:colon + 1] != ":":
        raise error(text, colon, f"expected a colon after the frame number {number}, got {_glimpse(text, colon)}")
    first = BLANK.match(text, colon + 1).end()
    value, end = _quoted(text, first) if text[first:first + 1] == '"' else _plain(text, first)
    if not value and text[first:first + 1] != '"':
        raise error(text, first, f"expected a value for frame {number}, got {_glimpse(text, first)}. Write \"\" for an "
                                 "empty one")
    return KeyFrame(int(number), value, start), end


def _quoted(text: str, start: int) -> tuple[str, int]:
    """Return the value whose opening quote is at a place, and where it ends."""
    quoted = QUOTED.match(text, start)
    if quoted is None:
        raise error(text, start, "this quote is never closed. Expected another one after the value")
    after = BLANK.match(text, quoted.end()).end()
    if text[after:after + 1] not in ("", ",", "\n", "\r"):
        raise error(text, after, "expected a comma or a new line after the closing quote, got "
                                 f"{_glimpse(text, after)}")
    return quoted[1].replace('\\"', '"'), after


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
        elif character == "," and _entry_follows(text, place + 1, opened):
            break
        place += 1
    place = min(place, len(text))
    return text[start:place].rstrip(" \t\r,"), place


def _entry_follows(text: str, place: int, opened: list[int]) -> bool:
    """Say whether the text after a comma is another entry; `opened` are the parentheses that are open there."""
    number = BLANK.match(text, place).end()
    if NEXT_ENTRY.match(text, place):
        if opened:
            raise error(text, number, f"a frame number within the parenthesis of {position(text, opened[-1])}. Close "
                                      "that first, or put the value into double quotes")
        return True
    if (bare := NEXT_NUMBER.match(text, place)) and not opened:
        raise error(text, bare.end(), f"expected a colon after the frame number {bare['number']}. If {bare['number']} "
                                      "belongs to the value before it, put that into double quotes")
    return False


def _glimpse(text: str, place: int) -> str:
    """Show what stands at a place of the text."""
    rest = text[place:].split("\n")[0].rstrip("\r")
    if not rest:
        return "the end of the line" if text[place:] else "the end of the text"
    return repr(rest if len(rest) <= 20 else f"{rest[:20]}...")

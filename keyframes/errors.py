"""Errors that point at a place of a text."""

from __future__ import annotations


class KeyFrameError(ValueError):
    """A text of key frames cannot be read; the message says where and what was expected."""


def error(text: str, place: int, message: str) -> KeyFrameError:
    """Return an error that begins with the line and column of a place in the text."""
    return KeyFrameError(f"{position(text, place)}: {message}")


def position(text: str, place: int) -> str:
    """Return the line and column of a place in a text, both counted from 1."""
    before = text[:place]
    return f"line {before.count(chr(10)) + 1}, column {place - before.rfind(chr(10))}"


def glimpse(text: str, place: int) -> str:
    """Show what stands at a place of the text."""
    rest = rest_of_line(text, place)
    if not rest:
        return "the end of the line" if text[place:] else "the end of the text"
    return repr(rest if len(rest) <= 20 else f"{rest[:20]}...")


def rest_of_line(text: str, place: int) -> str:
    """Return what stands between a place of the text and the end of its line."""
    end = text.find("\n", place)
    return text[place:end if end >= 0 else len(text)].rstrip("\r")

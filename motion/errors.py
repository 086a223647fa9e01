"""What is wrong with a file, in words."""

from __future__ import annotations

from collections.abc import Iterable

AGAIN = "Download the file again."

LONGEST = 120
"""Characters of a name or value out of a file that a message shows."""


class MotionFileError(ValueError):
    """A file is not a motion file that can be used; the message says what it is and what to do."""


def short(text: object) -> str:
    """Return what a file says as text that any message can hold: not too long, and without control characters."""
    text = str(text)
    shown = "".join(character if character.isprintable() else "?" for character in text[:LONGEST])
    return shown + ("..." if len(text) > LONGEST else "")


def some(keys: Iterable[str], most: int = 3) -> str:
    """Name a few of the keys."""
    keys = list(keys)
    return ", ".join(map(short, keys[:most])) + (", ..." if len(keys) > most else "")

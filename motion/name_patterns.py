"""Patterns of layer names, as PEFT's configurations have them, matched in bounded time.

PEFT takes a pattern for a regular expression of the end of a name, from a dot on. Nearly always it is just the end of
a name. What else is understood is the dot, \\d and \\w, each alone or with *, + or ?; a file could make Python's own
engine work for hours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

LONGEST_PATTERN = 300
MOST_PATTERNS, MOST_REPEATS = 16, 8
"""Patterns that are more than the end of a name, of which there may be any number; and *, + and ? in one."""

TOKEN = re.compile(r"(\\[dw]|\\\W|[^\\*+?()\[\]{}|^$])([*+?]?)")
"""One character or kind of character, and how often it may stand there."""
NAME = re.compile(r"\^?(?:[\w-]|\\?\.)+")
"""A pattern without anything but a name; PEFT's dot would also match other characters, which no name has there."""
KINDS = {r"\d": str.isdigit, r"\w": lambda character: character.isalnum() or character == "_",
         ".": lambda character: True}


class PatternError(ValueError):
    """A pattern is not understood; the message says which."""


@dataclass
class Pattern:
    """A pattern of more than a name: its places are the bits of a number, so that all that can hold are one step."""

    tokens: tuple[str, ...]
    repeated: int
    """Places whose token may come again."""
    optional: int
    """Places whose token may be left out."""
    anchored: bool
    """Whether it has to match the whole name."""
    accepting: dict[str, int] = field(default_factory=dict)
    """The places that a character passes, of those that were met."""

    def matches(self, name: str) -> bool:
        """Return whether the end of a name, from its start or a dot on, is of this pattern."""
        places, before = 0, "."
        for position, character in enumerate(name):
            if before == "." and (position == 0 or not self.anchored):
                places |= 1
            passed = self._skip(places) & self._accepting(character)
            places, before = passed << 1 | passed & self.repeated, character
        return bool(self._skip(places) >> len(self.tokens))

    def _skip(self, places: int) -> int:
        while more := (places & self.optional) << 1 & ~places:
            places |= more
        return places

    def _accepting(self, character: str) -> int:
        if character not in self.accepting:
            self.accepting[character] = sum(
                1 << index for index, token in enumerate(self.tokens)
                if KINDS.get(token, token[-1].__eq__)(character))
        return self.accepting[character]


class NamePatterns:
    """Values by pattern; of several patterns that match a name the first one counts.

    Raises:
        PatternError: A pattern is not understood, or there are too many.
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        self._ends: dict[str, tuple[int, object]] = {}
        self._patterns: list[tuple[int, Pattern, object]] = []
        for order, (pattern, value) in enumerate(values.items()):
            if NAME.fullmatch(pattern):
                self._ends.setdefault(pattern.replace("\\", ""), (order, value))
            else:
                self._patterns.append((order, _compile(pattern), value))
        if len(self._patterns) > MOST_PATTERNS:
            raise PatternError(f"there are {len(self._patterns)} patterns; expected names of layers, and at most "
                               f"{MOST_PATTERNS} patterns")

    def find(self, name: str, default: object) -> object:
        """Return the value for a name, or the default where no pattern matches it."""
        starts = [0, *(match.end() for match in re.finditer(r"\.", name))]
        found = [self._ends[end] for end in (f"^{name}", *(name[start:] for start in starts)) if end in self._ends]
        found += [(order, value) for order, pattern, value in self._patterns if pattern.matches(name)]
        return min(found, key=lambda entry: entry[0])[1] if found else default


def _compile(pattern: str) -> Pattern:
    bare = pattern.removeprefix("^")
    tokens = TOKEN.findall(bare) if len(pattern) <= LONGEST_PATTERN else []
    repeats = sum(bool(often) for _, often in tokens)
    if not tokens or "".join(map("".join, tokens)) != bare or repeats > MOST_REPEATS:
        raise PatternError(f"{pattern[:60]!r} is not understood; expected the end of a layer's name, or one with . \\d "
                           f"and \\w, and at most {MOST_REPEATS} of * + ?, of at most {LONGEST_PATTERN} characters")
    repeated, optional = (sum(1 << index for index, (_, often) in enumerate(tokens) if often and often in kinds)
                          for kinds in ("*+", "*?"))
    return Pattern(tuple(token for token, _ in tokens), repeated, optional, pattern.startswith("^"))

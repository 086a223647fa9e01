"""Values out of a TOML file, checked against the types of the dataclass that they are for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

LARGEST_INTEGER = 2**63 - 1
"""What TOML promises to keep, and torch can count."""


def typed(values: Mapping[str, Any], settings: Any) -> dict[str, Any]:
    """Return the values, by the names of a dataclass's fields, as these want them; `settings` may be an instance.

    Raises:
        ValueError: A value is of another type than its field.
    """
    kind = settings if isinstance(settings, type) else type(settings)
    hints, found = get_type_hints(kind), {}
    for name, value in values.items():
        if hints[name] not in READERS:
            raise ValueError(f"{name} cannot be given here")
        expected, read = READERS[hints[name]]
        try:
            found[name] = read(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} is {shown(value)}; expected {expected}") from error
    return found


def shown(value: object) -> str:
    """Return a value as a message shows it."""
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return "a number beyond 64 bits"
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    return value


def _path(value: object) -> Path:
    if isinstance(value, Path):
        return value
    text = _text(value)
    if not text:
        raise ValueError
    return Path(text)


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > LARGEST_INTEGER:
        raise TypeError
    return value


def _number(value: object) -> float:
    if not isinstance(value, float):
        value = _integer(value)
    if not math.isfinite(value):
        raise ValueError
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise TypeError
    return tuple(map(_text, value))


def _two_numbers(value: object) -> tuple[float, float]:
    if not isinstance(value, (list, tuple)):
        raise TypeError
    first, second = map(_number, value)
    return first, second


READERS: dict[Any, tuple[str, Callable]] = {
    str: ("a text", _text),
    Path: ("a path", _path),
    Path | None: ("a path", _path),
    int: ("a whole number", _integer),
    float: ("a number", _number),
    bool: ("true or false", _switch),
    tuple[float, float]: ("a list of two numbers", _two_numbers),
    tuple[str, ...]: ("a list of texts", _texts),
}
"""What is said of a type, and what checks it."""

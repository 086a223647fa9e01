"""Numbers over the frames as nodes of ComfyUI and of other packs hand them over: a list, or the host's drawn curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from comfy_api.input import CurveInput

from ..keyframes.curve import Curve, Drawn, Listed, check_range, parse_curve


def curve_in(text: str | None, values: Any, name: str, lowest: float, highest: float) -> Curve | None:
    """Return the curve of a node that takes key frames as text, or numbers by a link; None where it has neither.

    Args:
        text: Key frames, such as "0: 1, 8: 0.5".
        values: What came by the link.
        name: Of the two sockets: NAME_curve is the text, NAME_values the link.

    Raises:
        ValueError: There are both, or one of them is no curve from `lowest` to `highest`.
    """
    written = bool(text and text.strip())
    if values is None:
        return parse_curve(text or "", lowest, highest) if written else None
    if written:
        raise ValueError(f"{name}_curve has key frames and {name}_values has a link. Use one of them; a second node "
                         "after this one multiplies")
    return curve_of(values, f"{name}_values", lowest, highest)


def curve_of(values: Any, name: str, lowest: float = -math.inf, highest: float = math.inf) -> Listed | Drawn:
    """Return the curve that a link carries.

    Args:
        name: Of the socket, for messages.

    Raises:
        ValueError: It carries something else, or a number that is not finite or not from `lowest` to `highest`.
    """
    curve = _read(values, name)
    check_range(curve, lowest, highest)
    return curve


def scaled(values: Any, low: float, high: float) -> Listed | Drawn:
    """Return a curve with 0 brought to `low` and 1 to `high`, and all other numbers evenly with them.

    Args:
        values: What came by the link, or the list of a node that puts out one thing after another.

    Raises:
        ValueError: It is no curve, or a number is not finite.
    """
    if isinstance(values, list) and len(values) == 1 and not _is_number(_plain(values[0])):
        [values] = values
    curve = curve_of(values, "values")
    # Exact where nothing is to be changed.
    return curve if (low, high) == (0, 1) else curve.changed("values", lambda number: low + (high - low) * number)


def describe(curve: Listed | Drawn) -> str:
    """Return a line for a node to show."""
    numbers = curve.looked_at()
    what = f"{len(numbers)} numbers" if isinstance(curve, Listed) else "a drawn curve, for any number of frames"
    return f"{what}, from {min(numbers):.3g} to {max(numbers):.3g}"


def _read(values: Any, name: str) -> Listed | Drawn:
    if isinstance(values, Listed | Drawn):
        return values.changed(name, float)
    if isinstance(values, CurveInput):
        return Drawn(values.interp, name)
    # Tensors and arrays, which other packs also call FLOAT.
    numbers = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(numbers, Sequence) and not isinstance(numbers, str):
        numbers = [_plain(number) for number in numbers]
    if _is_number(numbers):
        raise ValueError(f"{name} was given the one number {numbers:g}; expected a list with one for each frame, or a "
                         "curve. Where a node puts out one number after another, connect Frame Values in between; for "
                         "the same number at all frames, write it as text, such as 0: 0.5")
    if not isinstance(numbers, Sequence) or isinstance(numbers, str) or not all(map(_is_number, numbers)):
        raise ValueError(f"{name} was given {_glimpse(numbers)}; expected a list of numbers, one for each frame, or a "
                         "curve such as Curve Editor's")
    if not numbers:
        raise ValueError(f"{name} was given an empty list; expected one number for each frame")
    return Listed(tuple(map(float, numbers)), name)


def _plain(value: Any) -> Any:
    """Return a number of an array or tensor as Python has it; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _glimpse(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        other = next(entry for entry in value if not _is_number(entry))
        return f"a list with a {type(other).__name__} in it"
    return f"a {type(value).__name__}"

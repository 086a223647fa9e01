"""The values of a node's widgets, which the editor saves as a bare list: which belongs to which input.

The order is that of the node's description, with the widgets in between that only the editor has. A value that does not
fit where it would go shows that the list is of another version of the node, and is refused: all values behind would be
shifted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .problems import WorkflowError

WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR", "COLORS", "MARKDOWN", "TEXTAREA", "CURVE",
                "RANGE", "BOUNDING_BOX", "BOUNDING_BOXES", "PAINTER", "CHART", "GALLERIA")
UNSAVED = {"IMAGECOMPARE": ["", ""]}
"""What the editor sends for widgets that it does not save: required by the server, and of no meaning to it."""
DRAWN = ("LOAD_3D",)
"""Types whose value is a picture of what the editor shows."""
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
SEEDS = ("seed", "noise_seed")
CONTROL_WORDS = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
"""What the widget behind a seed says: what becomes of the seed after a run."""
UPLOADS = ("image_upload", "animated_image_upload", "video_upload", "audio_upload")
"""Options for which the editor has one more widget, behind those of all required inputs."""


@dataclass(frozen=True)
class Input:
    """An input as the server describes it; `choices` are those of a list."""

    name: str
    kind: str
    options: dict[str, Any]
    choices: list[Any]
    upload: bool = False

    @property
    def is_widget(self) -> bool:
        return self.kind in (*WIDGET_TYPES, DYNAMIC_COMBO) and not self.options.get("forceInput")

    @property
    def default(self) -> Any:
        first = self.choices[0] if self.choices else None
        return self.options.get("default", first["key"] if self.kind == DYNAMIC_COMBO and first else first)

    def fits(self, value: Any) -> bool:
        """Say whether a saved value can be this input's. A choice that the server lacks can: the server names it."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is None:
            return True
        if self.kind == "INT":
            return number and value == value // 1
        if self.kind == "FLOAT":
            return number
        if self.kind in ("STRING", "COLOR", "MARKDOWN", "TEXTAREA"):
            return isinstance(value, str)
        if self.kind == "BOOLEAN":
            return isinstance(value, bool)
        if self.kind == DYNAMIC_COMBO:
            return any(choice["key"] == value for choice in self.choices)
        if self.kind == "COMBO" and not self.options.get("multiselect"):
            return value in self.choices or isinstance(value, str) and value not in CONTROL_WORDS
        return True


@dataclass(frozen=True)
class Saved:
    """The value of an input, and its place among the saved ones; None for a default that they lack."""

    name: str
    place: int | str | None
    value: Any


def read_widgets(values: list[Any] | dict[str, Any], described: dict[str, Any]) -> list[Saved]:
    """Return what a node's saved widget values say of each input.

    Values that the file lacks, because it is older than the node, are the node's defaults. Those that are left over at
    the end are of widgets that only the editor has, or that a newer node has.

    Args:
        values: As saved: in the order of the widgets, or by name.
        described: The node's inputs as the server describes them, {"required": {...}, "optional": {...}}.

    Raises:
        WorkflowError: The values are of another version of the node, or the description makes no sense.
    """
    if isinstance(values, dict):
        known = {entry.name for group in inputs_of(described) for entry in group}
        return [Saved(name, name, value) for name, value in values.items() if name.partition(".")[0] in known]
    return list(_Reader(values).read(described, ""))


class _Reader:
    """Takes the values of a list off one by one."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values
        self.place = 0

    def read(self, described: dict[str, Any], prefix: str) -> Iterator[Saved]:
        for group in inputs_of(described):
            for entry in group:
                if entry.kind in DRAWN:
                    raise WorkflowError(f"its {entry.name!r} is a picture that only the editor can draw")
                if entry.kind in UNSAVED:
                    yield Saved(prefix + entry.name, None, UNSAVED[entry.kind])
                elif entry.is_widget:
                    yield from self._read_one(entry, prefix + entry.name)
            if any(entry.upload for entry in group):
                self.place += 1

    def _read_one(self, entry: Input, name: str) -> Iterator[Saved]:
        if self.place >= len(self.values):
            value = entry.default
            yield Saved(name, None, value)
        else:
            value = self.values[self.place]
            if not entry.fits(value):
                raise WorkflowError(f"its saved values do not fit this server's node, whose {name!r} ({entry.kind}) "
                                    f"would be {value!r}: {self.values}")
            yield Saved(name, self.place, value)
            self.place += 1
        if self._has_control(entry, name):
            self.place += 1
        if entry.kind == DYNAMIC_COMBO:
            chosen: dict[str, Any] = next((choice for choice in entry.choices if choice["key"] == value), {})
            yield from self.read(chosen.get("inputs") or {}, f"{name}.")

    def _has_control(self, entry: Input, name: str) -> bool:
        """Say whether the next value is that of the widget behind a seed; the file may have been saved without it."""
        # A number of such a name is a seed to the editor, unless the node says that it is none.
        expected = entry.options.get("control_after_generate", entry.kind == "INT" and name in SEEDS)
        following = self.values[self.place:self.place + 1]
        return bool(expected) and bool(following) and (following[0] is None or following[0] in CONTROL_WORDS)


def inputs_of(described: dict[str, Any]) -> list[list[Input]]:
    """Return the required and the optional inputs of a description.

    Raises:
        WorkflowError: It makes no sense.
    """
    found = described if isinstance(described, dict) else {"required": described}
    groups = [found.get(group) or {} for group in ("required", "optional")]
    if not all(isinstance(group, dict) for group in groups):
        raise WorkflowError(f"the server describes its inputs in a form that is not known: {described!r:.200}")
    return [[_input(name, entry, group is groups[0]) for name, entry in group.items()] for group in groups]


def _input(name: str, described: Any, required: bool) -> Input:
    if not isinstance(described, (list, tuple)) or not described or not isinstance(described[0], (str, list)):
        raise WorkflowError(f"the server describes its input {name!r} in a form that is not known: {described!r:.200}")
    kind, options = described[0], described[1] if len(described) > 1 else {}
    options = options if isinstance(options, dict) else {}
    choices = kind if isinstance(kind, list) else options.get("options")
    choices = choices if isinstance(choices, list) else []
    kind = "COMBO" if isinstance(kind, list) else options.get("widgetType") or kind
    if kind == DYNAMIC_COMBO:
        choices = [choice for choice in choices if isinstance(choice, dict) and "key" in choice]
    upload = required and kind == "COMBO" and any(options.get(upload) for upload in UPLOADS)
    return Input(name, kind, options, choices, upload)


def as_value(value: Any) -> Any:
    """Wrap a list, which the server would take for a link."""
    return {"__value__": value} if isinstance(value, list) else value


def plain_value(value: Any) -> Any:
    """Return a prompt's value as a file holds it."""
    return value["__value__"] if isinstance(value, dict) and value.keys() == {"__value__"} else value

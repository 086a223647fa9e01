"""What a checkpoint was made from, and what of it may be another where a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .config import BEFORE

FREE = ("save_every", "divergence", "gradient_checkpointing")
"""Settings that change no weight: when a checkpoint is written, when a run is given up, how much memory it takes."""
OTHER = {"data": "other data", "bases": "other bases",
         "method": "another version of the method, which is part of this pack"}
"""How contents that differ are called, where "another ..." will not do."""


@dataclass(frozen=True)
class Origin:
    """What decides the weights of a training."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Text and numbers by name."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints by name, such as that of the "data"."""

    def and_settings(self, settings: Mapping[str, Any]) -> Origin:
        """Return the origin with further settings."""
        return Origin({**self.settings, **settings}, self.contents)

    def and_contents(self, **contents: str) -> Origin:
        """Return the origin with further contents, in whose names an underscore is a space."""
        return Origin(self.settings, {**self.contents, **{name.replace("_", " "): value
                                                          for name, value in contents.items()}})

    def plain(self) -> dict[str, dict[str, Any]]:
        """Return the origin as a checkpoint holds it: `Origin(**plain)` is the same again."""
        return {"settings": dict(self.settings), "contents": dict(self.contents)}

    def differences(self, before: Origin, finished: int) -> list[str]:
        """Say in what this run is another one than that of a checkpoint; nothing where it may go on.

        Args:
            before: The checkpoint's.
            finished: Its steps.
        """
        free = {*FREE, *self._free_steps(before, finished)}
        names = [name for name in {**before.settings, **self.settings} if name not in free]
        own, was = ({**BEFORE, **settings} for settings in (self.settings, before.settings))
        found = [_setting(name, own, was) for name in names if own.get(name) != was.get(name)]
        return found + [_content(name, self.contents, before.contents) for name in {**before.contents, **self.contents}
                        if self.contents.get(name) != before.contents.get(name)]

    def _free_steps(self, before: Origin, finished: int) -> tuple[str, ...]:
        """Return those settings of the steps that no finished step has felt.

        A constant rate is the same for any number of steps, and a warm-up matters until it is over. A rate that falls
        to zero over all steps has been another one from the start if these are more.
        """
        both = self.settings, before.settings
        if any(settings.get("rate", "constant") != "constant" for settings in both):
            return ()
        over = all(finished >= settings.get("warmup", 0) for settings in both)
        return ("steps", "warmup") if over else ("steps",)


def _setting(name: str, own: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    return f"{name} {own.get(name, 'none')}, was {before.get(name, 'none')}"


def _content(name: str, own: Mapping[str, str], before: Mapping[str, str]) -> str:
    if name not in before:
        return f"with {name}, was without"
    return OTHER.get(name, f"another {name}") if name in own else f"without {name}, was with"

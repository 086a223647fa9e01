"""Whether a clip shows what its prompt says."""

from __future__ import annotations

from ...demo.captions import Said
from ...demo.subjects import NAMES, SUBJECTS
from ..demo.explained import Seen

ASKED = ("subject", "way", "backdrop")
"""What a prompt asks for and can be seen."""


def obeyed(seen: Seen, said: Said) -> dict[str, bool]:
    """Return whether a clip shows what a prompt says, for each part that it says."""
    found = {}
    if said.subject is not None:
        found["subject"] = seen.subject == said.subject
    elif said.kind is not None:
        found["subject"] = said.kind in SUBJECTS[NAMES.index(seen.subject)].classes
    if said.way is not None:
        found["way"] = seen.way == said.way
    if said.backdrop is not None:
        found["backdrop"] = seen.backdrop == said.backdrop
    return found

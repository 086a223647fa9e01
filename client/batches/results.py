"""The files of a row, saved once: however often the program is ended in between."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePath
from typing import Any

from ..files import safe_name, write_new, write_whole
from .jobs import Job
from .manifest import SAVING, Manifest


def save(job: Job, files: list[tuple[str, bytes]], folder: Path, manifest: Manifest) -> list[dict[str, Any]]:
    """Write the files of a row under its name, and return what the manifest is to say of them.

    Where they go is written down before they are: those that an ended program has begun are written there again.

    Args:
        files: (name on the server, of which only the ending is kept, and content) of each.
    """
    before = manifest.last.get(job.key, {})
    begun = before.get("files", []) if before.get("state") == SAVING else []
    entries: list[dict[str, Any]] = []
    for place, (name, content) in enumerate(files):
        ending = PurePath(safe_name(name)).suffix.lower()
        stem = job.name if len(files) == 1 else f"{job.name}-{place + 1}"
        digest = hashlib.sha256(content).hexdigest()
        target = folder / f"{stem}{ending}"
        if place < len(begun) and _is_ours(folder / safe_name(begun[place]["name"]), begun[place]["sha256"]):
            target = write_whole(folder / safe_name(begun[place]["name"]), content)
            entries.append({"name": target.name, "sha256": digest})
            continue
        planned = _free(target)
        manifest.write(job, SAVING, files=[*entries, {"name": planned.name, "sha256": digest}])
        entries.append({"name": write_new(planned, content).name, "sha256": digest})
    return entries


def _is_ours(path: Path, digest: str) -> bool:
    """Say whether a file is one that was begun, or is not there: not another run's that has taken the name."""
    if not path.exists():
        return True
    content = path.read_bytes()
    return not content or hashlib.sha256(content).hexdigest() == digest


def _free(target: Path) -> Path:
    number, found = 1, target
    while found.exists():
        number += 1
        found = target.with_name(f"{target.stem}-{number}{target.suffix}")
    return found

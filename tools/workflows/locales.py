"""The texts of the nodes as ComfyUI's locales have them, and what a translation of them lacks.

    python dev.py locales          writes the English ones, and lists what each translation lacks

The front end asks for `locales/<language>/nodeDefs.json` and `settings.json`, and for `web/docs/<node>/<language>.md`.
The English ones are those of the code: they are kept so that a change of a text shows which translations are stale.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCALES, PAGES = ROOT / "locales", ROOT / "web" / "docs"
LANGUAGES = {"zh": "中文", "ja": "日本語", "ko": "한국어", "fr": "Français"}
"""Translations that are complete."""
FILES = ("nodeDefs.json", "settings.json")


def english() -> dict[str, dict[str, Any]]:
    """Return the English texts by file, as the code has them."""
    from ...nodes import NODES

    schemas: list[Any] = [node.define_schema() for node in NODES]  # type: ignore[attr-defined]
    return {"nodeDefs.json": {schema.node_id: texts_of(schema) for schema in schemas}, "settings.json": settings()}


def texts_of(schema: Any) -> dict[str, Any]:
    """Return the texts of a node."""
    return {
        "display_name": schema.display_name, "description": schema.description,
        "inputs": {socket.id: {"name": socket.display_name or socket.id, "tooltip": socket.tooltip}
                   for socket in schema.inputs},
        "outputs": {str(number): {"name": output.display_name or output.id or output.io_type, "tooltip": output.tooltip}
                    for number, output in enumerate(schema.outputs)}}


def settings() -> dict[str, Any]:
    """Return the texts of the settings, from the scripts that add them; the front end wants no dots in their ids."""
    found = {}
    for script in sorted((ROOT / "web").glob("*.js")):
        for setting, name, tooltip in re.findall(
                r'id: "([\w.]+)",\s*name: "([^"]+)",[^}]*?tooltip: "([^"]+)"', script.read_text(encoding="utf-8")):
            found[setting.replace(".", "_")] = {"name": name, "tooltip": tooltip}
    return found


def read(language: str) -> dict[str, dict[str, Any]]:
    """Return a language's texts by file; a file that is not there has none."""
    paths = {name: LOCALES / language / name for name in FILES}
    return {name: json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            for name, path in paths.items()}


def leaves(texts: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each text with the way to it."""
    if isinstance(texts, dict):
        for key, value in texts.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, texts


def lacking(language: str) -> list[str]:
    """Return what a language lacks, and what it has that is no longer there."""
    own, wanted = (dict(leaves(texts)) for texts in (read(language), english()))
    found = [f"{' / '.join(path)} is missing" for path in wanted if not own.get(path)]
    found += [f"{' / '.join(path)} is of no node" for path in own if path not in wanted]
    pages = (page.parent for page in sorted(PAGES.glob("*/en.md")))
    return found + [f"web/docs/{page.name}/{language}.md is missing" for page in pages
                    if not (page / f"{language}.md").is_file()]


def write_english() -> None:
    """Write the English texts."""
    for name, texts in english().items():
        path = LOCALES / "en" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(texts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    from ...host.folders import register_folders

    register_folders()
    write_english()
    for language, name in LANGUAGES.items():
        print(f"{name}: {len(missing := lacking(language))} lacking", *missing, sep="\n    ")


if __name__ == "__main__":
    main()

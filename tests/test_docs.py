"""What the README and the docs point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from animatelcm.host.folders import register_folders
from animatelcm.nodes import NODES

register_folders()
ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"python dev\.py ([a-z][a-z-]*)")
MODULE = re.compile(r"python standalone\.py ([a-z_.]+)")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_are_known(page):
    text = page.read_text(encoding="utf-8")
    # dev.py begins with a list of its commands.
    assert set(COMMAND.findall(text)) <= set(COMMAND.findall((ROOT / "dev.py").read_text(encoding="utf-8")))
    assert [name for name in MODULE.findall(text) if not (ROOT / f"{name.replace('.', '/')}.py").is_file()] == []


def test_the_readme_names_every_node_and_leads_to_every_page():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("\n## Nodes\n")[2].partition("\n## ")[0]
    named = [name for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE) for name in row.split(", ")]
    assert set(named) - {"node"} == {node.define_schema().display_name for node in NODES}
    pages = {page.relative_to(ROOT).as_posix() for page in PAGES} - {"README.md"}
    assert pages <= {link.partition("#")[0] for link in LINK.findall(readme)}


def test_the_readme_says_when_to_take_which_node():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    advice = readme.partition("### Which node when\n")[2].partition("\n#")[0]
    starts = ("Text to Video", "Image to Video", "Apply Motion Module", "Long Video", "Rolling Sampler")
    assert [name for name in starts if name not in advice] == []

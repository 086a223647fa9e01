"""Every node explains itself: a help page, a description, a tooltip on every socket."""

import re
from pathlib import Path

import pytest
from animatelcm.host.folders import register_folders
from animatelcm.nodes import NODES

register_folders()
DOCS = Path(__file__).resolve().parent.parent / "web" / "docs"


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_a_node_explains_itself(node):
    schema = node.define_schema()
    page = (DOCS / schema.node_id / "en.md").read_text(encoding="utf-8")
    assert schema.description.endswith(".")
    assert page.startswith(f"# {schema.display_name}\n")
    for socket in schema.inputs:
        assert socket.tooltip, socket.id
        assert f"**{socket.id}**" in page, f"{socket.id} is missing from the page of {schema.node_id}"
    assert all(output.tooltip for output in schema.outputs)


def test_help_lies_where_the_front_end_looks_first():
    """It asks for `<node>/<language>.md`, and for a flat `<node>.md` only after an answer of 404."""
    assert {path.name for path in DOCS.iterdir()} == {node.define_schema().node_id for node in NODES}
    assert all((folder / "en.md").is_file() for folder in DOCS.iterdir())


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_every_help_page_shows_its_node_at_work(node):
    folder = DOCS / node.define_schema().node_id
    picture = "shown.webp"
    assert (folder / picture).read_bytes()[8:12] == b"WEBP"
    for page in folder.glob("*.md"):
        # The editor looks for pictures from the folder of all pages.
        shown = re.findall(r"^!\[(.+)\]\((.+)\)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert [path for _, path in shown] == [f"{folder.name}/{picture}"], page.name


def test_what_the_page_of_errors_says_of_files_is_what_the_code_says():
    root = DOCS.parent.parent
    source = "".join(path.read_text(encoding="utf-8") for folder in ("motion", "host", "nodes", "training")
                     for path in sorted((root / folder).rglob("*.py")))
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    page = (root / "docs" / "errors.md").read_text(encoding="utf-8")
    section = page.partition("## From files")[2].partition("\n## ")[0]
    said = [piece.strip() for row in section.splitlines() if row.startswith("| *")
            for phrase in re.findall(r"\*([^*]+)\*", row.split(" | ")[0]) for piece in phrase.split("...")]
    said = [piece for piece in said if len(piece) > 3]
    assert len(said) > 40
    for piece in said:
        assert any(part in source for part in (piece, piece.removeprefix("is "))), f"nothing says {piece!r}"

"""Every node explains itself: a help page, a description, a tooltip on every socket."""

from pathlib import Path

import pytest
from animatelcm.host.folders import register_folders
from animatelcm.nodes import NODES

register_folders()
DOCS = Path(__file__).resolve().parent.parent / "web" / "docs"


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_a_node_explains_itself(node):
    schema = node.define_schema()
    page = (DOCS / f"{schema.node_id}.md").read_text(encoding="utf-8")
    assert schema.description.endswith(".")
    assert page.startswith(f"# {schema.display_name}\n")
    for socket in schema.inputs:
        assert socket.tooltip, socket.id
        assert f"**{socket.id}**" in page, f"{socket.id} is missing from {schema.node_id}.md"
    assert all(output.tooltip for output in schema.outputs)

"""ComfyUI's own templates become the prompts that its editor makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from animatelcm.client.api import ComfyClient
from animatelcm.client.workflow import to_prompt
from animatelcm.tools.hosts.hosts import REFERENCE
from animatelcm.tools.hosts.server import Server
from animatelcm.tools.workflows.stock_templates import digest_of, digest_of_prompt, installed

RECORD = Path(__file__).with_name("stock_templates.json")
"""{template: [digest of its file, digest of the editor's prompt]}, made by `python dev.py converters --record`."""


def test_templates_become_the_prompts_of_the_editor(client: ComfyClient, server: Server) -> None:
    if server.host.version != REFERENCE:
        pytest.skip(f"the editor's prompts are recorded for the nodes of ComfyUI {REFERENCE}")
    files = {name: path.read_bytes() for name, path in installed().items()}
    recorded = {name: prompt for name, (file, prompt) in json.loads(RECORD.read_text(encoding="utf-8")).items()
                if name in files and digest_of(files[name]) == file}
    if not recorded:
        pytest.skip("no templates, or of another version than those of which the editor's prompts are recorded")
    described, others = client.object_info(), []
    with_subgraphs = 0
    for name, expected in recorded.items():
        workflow = json.loads(files[name])
        with_subgraphs += bool(workflow.get("definitions", {}).get("subgraphs"))
        if digest_of_prompt(to_prompt(workflow, described), described) != expected:
            others.append(name)
    assert not others
    assert with_subgraphs > 0.5 * len(recorded)

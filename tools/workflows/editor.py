"""The real editor in headless Chromium: open it, put graphs into it, press Run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request

from playwright.sync_api import Page

from ...client.api import ComfyClient, RunError
from ...client.http import opener
from ...client.workflow import load, to_prompt

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
LIMIT_MS = 300_000


def open_editor(page: Page, url: str) -> None:
    """Open the editor's page, or open it again, and wait until it can be used."""
    # Slow machines draw the editor slowly.
    page.set_default_timeout(LIMIT_MS)
    page.goto(url, wait_until="domcontentloaded")
    page.get_by_test_id("queue-button").first.wait_for(timeout=LIMIT_MS)
    page.wait_for_timeout(2000)
    page.keyboard.press("Escape")


def set_setting(url: str, name: str, value: Any) -> None:
    """Change a setting of a server's editor, as its own dialog does; it counts when the page is opened again."""
    request = Request(f"{url}/settings/{name}", json.dumps(value).encode(), {"Content-Type": "application/json"})
    opener(url).open(request).close()


def put_graph(page: Page, workflow: dict[str, Any]) -> None:
    """Load a workflow into the editor."""
    page.evaluate("workflow => window.app.loadGraphData(workflow)", workflow)
    page.wait_for_timeout(1500)
    # A list of the model files that this machine lacks may cover the graph.
    page.keyboard.press("Escape")


def prompt_of(page: Page) -> dict[str, Any]:
    """Return the prompt that the editor makes of its graph."""
    return page.evaluate("async () => (await window.app.graphToPrompt()).output")


def find_browser() -> str:
    """Return the path of an installed Chromium; without one a command ends here, and says what to do."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        sys.exit("error: no Chromium found. Install one (Debian, Ubuntu: apt install chromium) or name it in CHROMIUM")
    return found


def open_workflow(page: Page, client: ComfyClient, path: Path) -> None:
    """Load a workflow into the editor, and compare the prompt that the editor makes of it with ours.

    Raises:
        RunError: A node is missing, or the prompts differ.
    """
    workflow = load(path)
    put_graph(page, workflow)
    missing = page.evaluate("() => window.app.graph.nodes.map(n => n.type)"
                            ".filter(t => t !== 'MarkdownNote' && !LiteGraph.registered_node_types[t])")
    if missing:
        raise RunError(f"{path.name}: the editor lacks the nodes {missing}")
    described = client.object_info()
    compare(path.name, without_previews(prompt_of(page), described), to_prompt(workflow, described))


def without_previews(prompt: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """Return the editor's prompt with only the inputs that the server knows: a video's preview is a widget too."""
    kept = {}
    for node_id, node in prompt.items():
        known = described[node["class_type"]]["input"]
        names = {name for group in ("required", "optional") for name in known.get(group) or {}}
        # The inputs of a choice are named choice.input.
        inputs = {name: value for name, value in node["inputs"].items() if name.partition(".")[0] in names}
        kept[node_id] = node | {"inputs": inputs}
    return kept


def press_run(page: Page) -> str:
    """Press the editor's Run button and return the id of the run.

    Raises:
        RunError: The server refused it.
    """
    with page.expect_response(lambda got: got.url.endswith("/prompt") and got.request.method == "POST") as sent:
        page.get_by_test_id("queue-button").first.click()
    answer = sent.value.json()
    if answer.get("node_errors") or "prompt_id" not in answer:
        raise RunError(f"the server refused what the editor sent: {json.dumps(answer)[:1000]}")
    return answer["prompt_id"]


def compare(name: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Check that the editor and `to_prompt` make the same of a graph.

    Raises:
        RunError: They do not.
    """
    for node_id in theirs.keys() | ours.keys():
        one, other = (prompt.get(node_id, {}).get("inputs") for prompt in (theirs, ours))
        if one != other:
            raise RunError(f"{name}, node {node_id}: the editor sends {one}, this pack's client {other}")

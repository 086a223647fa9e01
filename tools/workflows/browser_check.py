"""Open the examples in the real front end, press Run on one, and wait for its video: the way a user does it.

    python dev.py browser [--workflow FILE] [--output FOLDER]

Runs in the host's Python, with the package `playwright` and a Chromium that is installed already
(Debian, Ubuntu: apt install chromium; or name one in the environment variable CHROMIUM).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Page, sync_playwright

from ...client.api import ComfyClient, RunError
from ...client.workflow import load, to_prompt
from ..hosts.environment import output_path
from ..hosts.hosts import version_of
from ..hosts.server import PACK_NAME, Host, Server, make_base, stop_on_signals

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "example_workflows"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
INPUTS = EXAMPLES / "input"
OWN_MARK = "animatelcm"
ELSEWHERE = re.compile(r"https?://(?!127\.0\.0\.1)\S+")
"""Addresses on other machines. The editor asks those of the model files that it misses, which this server forbids."""
LIMIT_MS = 300_000


def find_browser() -> str | None:
    """Return the path of an installed Chromium, or None."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def open_workflow(page: Page, client: ComfyClient, path: Path) -> None:
    """Load a workflow into the editor, and compare the prompt that the editor makes of it with ours.

    Raises:
        RunError: A node is missing, or the prompts differ.
    """
    workflow = load(path)
    page.evaluate("workflow => window.app.loadGraphData(workflow)", workflow)
    page.wait_for_timeout(1500)
    # A list of the model files that this machine lacks may cover the graph.
    page.keyboard.press("Escape")
    missing = page.evaluate("() => window.app.graph.nodes.map(n => n.type)"
                            ".filter(t => t !== 'MarkdownNote' && !LiteGraph.registered_node_types[t])")
    if missing:
        raise RunError(f"{path.name}: the editor lacks the nodes {missing}")
    theirs = page.evaluate("async () => (await window.app.graphToPrompt()).output")
    described = client.object_info()
    compare(path.name, without_previews(theirs, described), to_prompt(workflow, described))


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


def press_run(page: Page, client: ComfyClient) -> dict[str, Any]:
    """Press the editor's Run button, wait for the end of the run, and return its outputs.

    Raises:
        RunError: The server refused it, or the run failed.
    """
    with page.expect_response(lambda got: got.url.endswith("/prompt") and got.request.method == "POST") as sent:
        page.get_by_test_id("queue-button").first.click()
    answer = sent.value.json()
    if answer.get("node_errors") or "prompt_id" not in answer:
        raise RunError(f"the server refused what the editor sent: {json.dumps(answer)[:1000]}")
    return client.wait(answer["prompt_id"], {})


def compare(name: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Check that the editor and `to_prompt` make the same of a graph.

    Raises:
        RunError: They do not.
    """
    for node_id in theirs.keys() | ours.keys():
        one, other = (prompt.get(node_id, {}).get("inputs") for prompt in (theirs, ours))
        if one != other:
            raise RunError(f"{name}, node {node_id}: the editor sends {one}, this pack's client {other}")


def use_editor(page: Page, server: Server, to_run: Path, pictures: Path) -> None:
    """Open every example, and run one of them; leave a picture of each."""
    client = ComfyClient(server.url)
    page.goto(server.url, wait_until="domcontentloaded")
    page.get_by_test_id("queue-button").first.wait_for(timeout=LIMIT_MS)
    page.wait_for_timeout(2000)
    page.keyboard.press("Escape")
    examples = sorted(path for path in EXAMPLES.glob("*.json") if path != to_run)
    for path in [*examples, to_run]:
        open_workflow(page, client, path)
        if path == to_run:
            started = time.monotonic()
            outputs = press_run(page, client)
            print(f"{path.name} ran from the button in {time.monotonic() - started:.0f} s: {json.dumps(outputs)[:200]}")
            page.wait_for_timeout(2000)
        picture = pictures / f"browser-{path.stem}.png"
        page.screenshot(path=str(picture))
        print(f"{path.name} opened; screenshot: {picture}", flush=True)


def main() -> None:
    """Start a server and a browser, use the editor, and say what was found."""
    parser = argparse.ArgumentParser(prog="dev.py browser")
    parser.add_argument("--workflow", type=Path, default=EXAMPLES / "text_to_video_demo.json", help="which to run")
    parser.add_argument("--output", type=Path, default=output_path(), help="folder for the screenshots")
    options = parser.parse_args()
    stop_on_signals()
    browser_path = find_browser()
    if browser_path is None:
        sys.exit("error: no Chromium found. Install one (Debian, Ubuntu: apt install chromium) or name it in CHROMIUM")
    path = Path(os.environ["COMFYUI_PATH"]).resolve()
    host = Host(path, Path(sys.executable), version_of(path))
    options.output.mkdir(parents=True, exist_ok=True)
    troubles: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error":
            troubles.append(f"{message.text} ({message.location.get('url', '')})")

    with (tempfile.TemporaryDirectory() as folder,
          Server(host, make_base(Path(folder), {PACK_NAME: ROOT}, INPUTS)) as server, sync_playwright() as playwright):
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.on("console", listen)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        try:
            use_editor(page, server, options.workflow, options.output)
        except BaseException:
            page.screenshot(path=str(options.output / "browser-failed.png"))
            raise
        finally:
            print("console errors:", *(troubles or ["none"]), sep="\n  ")
            browser.close()
    if any(OWN_MARK in ELSEWHERE.sub("", trouble).lower() for trouble in troubles):
        sys.exit("error: the browser's console shows errors of this pack, see above")


if __name__ == "__main__":
    main()

"""Open a workflow in the real front end, press Run, and wait for the video: the way a user does it.

    python dev.py browser [--workflow FILE] [--screenshot FILE]

Runs in the host's Python, with the package `playwright` and a Chromium that is installed already
(Debian, Ubuntu: apt install chromium; or name one in the environment variable CHROMIUM).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Page, sync_playwright

from ..client.api import ComfyClient, RunError
from ..client.workflow import load, to_prompt
from .hosts import version_of
from .server import PACK_NAME, Host, Server, make_base

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
OWN_MARKS = ("animatelcm", "/extensions/")
LIMIT_MS = 300_000


def find_browser() -> str | None:
    """Return the path of an installed Chromium, or None."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def check(page: Page, server: Server, workflow_path: Path, screenshot: Path) -> dict[str, Any]:
    """Load the workflow into the editor, compare the prompt that the editor makes of it with ours, run it by its
    button, and return the run's outputs.

    Raises:
        RunError: A node is missing, the prompts differ, or the run failed.
    """
    client = ComfyClient(server.url)
    workflow = load(workflow_path)
    page.goto(server.url, wait_until="domcontentloaded")
    page.wait_for_function("() => window.app?.graph && window.app?.extensionManager", timeout=LIMIT_MS)
    page.wait_for_timeout(2000)
    page.keyboard.press("Escape")
    page.evaluate("workflow => window.app.loadGraphData(workflow)", workflow)
    page.wait_for_timeout(1500)
    missing = page.evaluate("() => window.app.graph.nodes.filter(n => n.has_errors || n.type !== 'MarkdownNote' "
                            "&& !LiteGraph.registered_node_types[n.type]).map(n => n.type)")
    if missing:
        raise RunError(f"the editor lacks the nodes {missing}")
    compare(page.evaluate("async () => (await window.app.graphToPrompt()).output"),
            to_prompt(workflow, client.object_info()))
    with page.expect_response(lambda got: got.url.endswith("/prompt") and got.request.method == "POST") as sent:
        page.get_by_test_id("queue-button").first.click()
    answer = sent.value.json()
    if answer.get("node_errors") or "prompt_id" not in answer:
        raise RunError(f"the server refused what the editor sent: {json.dumps(answer)[:1000]}")
    outputs = client.wait(answer["prompt_id"], {})
    page.wait_for_timeout(2000)
    page.screenshot(path=str(screenshot))
    return outputs


def compare(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Check that the editor and `to_prompt` make the same of a graph.

    Raises:
        RunError: They do not.
    """
    for node_id in theirs.keys() | ours.keys():
        one, other = (prompt.get(node_id, {}).get("inputs") for prompt in (theirs, ours))
        if one != other:
            raise RunError(f"node {node_id}: the editor sends {one}, this pack's client {other}")


def main() -> None:
    """Start a server and a browser, run the check, and say what was found."""
    parser = argparse.ArgumentParser(prog="dev.py browser")
    parser.add_argument("--workflow", type=Path, default=ROOT / "example_workflows" / "text_to_video_demo.json")
    parser.add_argument("--screenshot", type=Path, default=ROOT / "output" / "browser.png")
    options = parser.parse_args()
    browser_path = find_browser()
    if browser_path is None:
        sys.exit("error: no Chromium found. Install one (Debian, Ubuntu: apt install chromium) or name it in CHROMIUM")
    path = Path(os.environ["COMFYUI_PATH"]).resolve()
    host = Host(path, Path(sys.executable), version_of(path))
    options.screenshot.parent.mkdir(parents=True, exist_ok=True)
    troubles: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        where = f"{message.text} ({message.location.get('url', '')})"
        if message.type == "error":
            troubles.append(where)

    started = time.monotonic()
    with (tempfile.TemporaryDirectory() as folder, Server(host, make_base(Path(folder), {PACK_NAME: ROOT})) as server,
          sync_playwright() as playwright):
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.on("console", listen)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        try:
            outputs = check(page, server, options.workflow, options.screenshot)
        except BaseException:
            page.screenshot(path=str(options.screenshot))
            print("console errors:", *troubles, sep="\n  ")
            raise
        finally:
            browser.close()
    own = [trouble for trouble in troubles if any(mark in trouble.lower() for mark in OWN_MARKS)]
    if own:
        sys.exit("error: the browser's console shows errors of this pack:\n  " + "\n  ".join(own))
    print(f"{options.workflow.name} opened, ran from its button and gave {len(outputs)} outputs "
          f"in {time.monotonic() - started:.0f} s; {len(troubles)} console errors, none of this pack")
    print(*troubles, sep="\n")
    print(f"screenshot: {options.screenshot}")


if __name__ == "__main__":
    main()

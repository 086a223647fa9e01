"""Open the examples in the real front end, press Run on one, and look at what a user sees: see `user_checks`.

    python dev.py browser [--workflow FILE] [--output FOLDER]

Runs in the host's Python, with the package `playwright` and a Chromium that is installed already
(Debian, Ubuntu: apt install chromium; or name one in the environment variable CHROMIUM).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Page, sync_playwright

from ...client.api import ComfyClient
from ..hosts.environment import output_path
from ..hosts.hosts import version_of
from ..hosts.processes import stop_on_signals
from ..hosts.server import PACK_NAME, Host, Server, make_base
from .editor import FLAGS, find_browser, open_editor, open_workflow, press_run
from .user_checks import check_all

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "example_workflows"
INPUTS = EXAMPLES / "input"
OWN_MARK = "animatelcm"
ELSEWHERE = re.compile(r"https?://(?!127\.0\.0\.1)\S+")
"""Addresses on other machines. The editor asks those of the model files that it misses, which this server forbids."""


def run_one(page: Page, server: Server, path: Path, pictures: Path) -> None:
    """Open a workflow, run it from the button, and leave a picture."""
    client = ComfyClient(server.url)
    open_editor(page, server.url)
    open_workflow(page, client, path)
    started = time.monotonic()
    outputs = client.wait(press_run(page), {})
    print(f"{path.name} ran from the button in {time.monotonic() - started:.0f} s: {json.dumps(outputs)[:200]}")
    page.wait_for_timeout(2000)
    page.screenshot(path=str(pictures / f"browser-{path.stem}.png"))


def main() -> None:
    """Start a server and a browser, use the editor, and say what was found."""
    parser = argparse.ArgumentParser(prog="dev.py browser")
    parser.add_argument("--workflow", type=Path, default=EXAMPLES / "03 Text to Video Demo.json", help="which to run")
    parser.add_argument("--output", type=Path, default=output_path(), help="folder for the screenshots")
    options = parser.parse_args()
    stop_on_signals()
    browser_path = find_browser()
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
            run_one(page, server, options.workflow, options.output)
            check_all(page, server, options.output)
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

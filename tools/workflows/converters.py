"""Open all templates of a ComfyUI in its editor, and compare the prompts that it makes with those of our client.

    python dev.py converters [NAME ...] [--record]

Where the package comfy-cli is installed too, its converter is compared as well. Templates with nodes that the server
lacks, such as those of paid services, are left out. --record writes the editor's prompts down for the tests, as
digests.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from tqdm import tqdm

from ...client.api import ComfyClient
from ...client.levels import PRIMITIVE
from ...client.sources import NOTES, REROUTE
from ...client.workflow import WorkflowError, to_prompt
from ..hosts.hosts import version_of
from ..hosts.processes import stop_on_signals
from ..hosts.server import PACK_NAME, Host, Server, make_base
from .editor import FLAGS, LIMIT_MS, find_browser
from .stock_templates import digest_of, digest_of_prompt, installed

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "tests" / "server" / "stock_templates.json"
# Where a text offers a choice, {a|b}, the editor draws one: here always the first.
CONVERT = """async workflow => {
    Math.random = () => 0;
    await window.app.loadGraphData(workflow);
    await new Promise(done => setTimeout(done, 250));
    return (await window.app.graphToPrompt()).output;
}"""

Converter = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]


def converters() -> dict[str, Converter]:
    """Return what is compared with the editor."""
    found: dict[str, Converter] = {"this pack": to_prompt}
    if find_spec("comfy_cli") is not None:
        from comfy_cli.workflow_to_api import convert_ui_to_api

        found["comfy-cli"] = convert_ui_to_api
    return found


def usable(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the templates of which the server has every node, {name: graph}."""
    found = {}
    for name, path in installed().items():
        workflow = json.loads(path.read_bytes())
        subgraphs = workflow.get("definitions", {}).get("subgraphs", [])
        known = described.keys() | {graph["id"] for graph in subgraphs} | {*NOTES, REROUTE, PRIMITIVE}
        if all(node["type"] in known for graph in (workflow, *subgraphs) for node in graph["nodes"]):
            found[name] = workflow
    return found


def editor_prompts(page: Page, url: str, workflows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what the editor makes of graphs."""
    page.goto(url, wait_until="domcontentloaded")
    page.get_by_test_id("queue-button").first.wait_for(timeout=LIMIT_MS)
    page.wait_for_timeout(3000)
    return {name: page.evaluate(CONVERT, workflow) for name, workflow in tqdm(workflows.items())}


def verdict(convert: Converter, workflow: dict[str, Any], theirs: str, described: dict[str, Any]) -> str:
    """Say what becomes of a template: `same`, `differs` or `refused`."""
    try:
        ours = convert(workflow, described)
        return "same" if digest_of_prompt(ours, described) == theirs else "differs"
    except (WorkflowError, KeyError) as error:
        print(f"  {error}", file=sys.stderr)
        return "refused"


def main() -> None:
    """Compare, print a table, and write the record where that is asked for."""
    parser = argparse.ArgumentParser(prog="dev.py converters")
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as video_wan2_2_14B_t2v; all by default")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.relative_to(ROOT)}")
    options = parser.parse_args()
    stop_on_signals()
    browser_path = find_browser()
    host_path = Path(os.environ["COMFYUI_PATH"]).resolve()
    host = Host(host_path, Path(sys.executable), version_of(host_path))
    with (tempfile.TemporaryDirectory() as folder,
          Server(host, make_base(Path(folder), {PACK_NAME: ROOT})) as server, sync_playwright() as playwright):
        described = ComfyClient(server.url).object_info()
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        workflows = {name: workflow for name, workflow in usable(described).items()
                     if not options.names or name.removesuffix(".json") in options.names}
        prompts = editor_prompts(browser.new_page(), server.url, workflows)
        browser.close()
    counts: Counter[tuple[str, str, str]] = Counter()
    record = {}
    for name, prompt in prompts.items():
        theirs = digest_of_prompt(prompt, described)
        record[name] = [digest_of(installed()[name].read_bytes()), theirs]
        kind = "with subgraphs" if workflows[name].get("definitions", {}).get("subgraphs") else "without"
        for who, convert in converters().items():
            found = verdict(convert, workflows[name], theirs, described)
            counts[kind, who, found] += 1
            if found != "same":
                print(f"{name}: {who}: {found}")
    for (kind, who, found), count in sorted(counts.items()):
        print(f"templates {kind}, {who}, {found}: {count}")
    if options.record and not options.names:
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(digests)}" for name, digests in sorted(record.items()))
        RECORD.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()

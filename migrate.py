"""Make a graph of older AnimateDiff packs into one of this pack's and ComfyUI's own nodes.

    python migrate.py old_graph.json                      writes old_graph.migrated.json, and a report beside it
    python migrate.py old_graph.json --server URL         for that ComfyUI, also an older one; says what it lacks

The file may be one saved by the editor or a prompt exported in API format. It is never written over. docs/migrating.md
has the table of what becomes of which node.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from client.api import ComfyClient, RunError
from client.console import print_everything
from client.files import write_new
from client.workflow import WorkflowError, check_workflow, is_graph, load
from migration.migrate import migrate


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflow", type=Path, nargs="+", help="workflow files")
    parser.add_argument("--server", help="address of the ComfyUI that is to run it")
    return parser.parse_args(arguments)


def lacking(workflow: dict, known: dict) -> list[str]:
    """Return the types of nodes that a workflow has and a server has not."""
    if is_graph(workflow):
        own = {"Note", "MarkdownNote", "Reroute", "PrimitiveNode"}
        subgraphs = (workflow.get("definitions") or {}).get("subgraphs") or []
        own |= {str(entry.get("id")) for entry in subgraphs}
        kinds = {node["type"] for node in workflow["nodes"]} - own
    else:
        kinds = {node["class_type"] for node in workflow.values()}
    return sorted(kinds - known.keys())


def main(arguments: list[str] | None = None) -> None:
    """Migrate what the command line names, and print the reports."""
    options = parse(arguments)
    known = ComfyClient(options.server).object_info() if options.server else None
    for path in options.workflow:
        old = load(path)
        check_workflow(old)
        workflow, report = migrate(old, known)
        if known is not None:
            for kind in lacking(workflow, known):
                report.not_mapped(kind, f"the ComfyUI at {options.server} does not have this node")
        written = write_new(path.with_suffix(".migrated.json"), json.dumps(workflow, indent=1).encode())
        text = report.text(path.name)
        report_path = write_new(written.with_suffix(".txt"), text.encode(errors="backslashreplace"))
        print(f"{text}\ngraph: {written}\nreport: {report_path}", flush=True)


if __name__ == "__main__":
    print_everything()
    try:
        main()
    except (RunError, WorkflowError, ConnectionError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

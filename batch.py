"""Queue a workflow on a running ComfyUI, once for every prompt and seed, and fetch what it makes.

    python batch.py example_workflows/text_to_video_demo.json --prompt "a red square moving left" --seed 1 2 3
    python batch.py my_workflow.json --prompts-file prompts.txt --set KSampler.steps=8 --output results

The workflow may be a file saved by the editor or one exported in API format. The server is not started: that is
`python dev.py serve`, or your own ComfyUI.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from client.api import ComfyClient, RunError, saved_files
from client.console import StatusLine
from client.workflow import WorkflowError, is_graph, load, set_seed, set_text, set_value, to_prompt, with_values


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflow", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="address of ComfyUI (default: %(default)s)")
    parser.add_argument("--prompt", nargs="+", default=[], metavar="TEXT", help="positive prompts")
    parser.add_argument("--prompts-file", type=Path, help="a text file with one positive prompt a line")
    parser.add_argument("--seed", nargs="+", type=int, default=[], help="seeds; every prompt is run with each")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE",
                        help="set an input, by the node's id, title or class; may be repeated")
    parser.add_argument("--output", type=Path, default=Path("output"), help="folder for the results")
    return parser.parse_args(arguments)


def variants(prompt: dict[str, Any], texts: list[str], seeds: list[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (label, prompt) for every text with every seed; without either, the workflow's own values stay.

    The prompt that is handed in is written to, and is the one that comes out every time.
    """
    for text, seed in itertools.product(texts or [None], seeds or [None]):
        if text is not None:
            set_text(prompt, text)
        if seed is not None:
            set_seed(prompt, seed)
        parts = (text, None if seed is None else f"seed {seed}")
        yield ", ".join(part for part in parts if part is not None) or "as saved", prompt


def unused(path: Path) -> Path:
    """Return a path that does not exist yet: this one, or the same with a number."""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(candidate for candidate in itertools.chain([path], numbered) if not candidate.exists())


def main() -> None:
    """Queue all that the command line asks for, one after the other, and print the paths of the results."""
    options = parse()
    texts = list(options.prompt)
    if options.prompts_file:
        lines = options.prompts_file.read_text(encoding="utf-8").splitlines()
        texts += [line.strip() for line in lines if line.strip()]
    client = ComfyClient(options.server)
    nodes = client.object_info()
    workflow = load(options.workflow)
    prompt = to_prompt(workflow, nodes)
    for assignment in options.set:
        set_value(prompt, assignment)
    total = max(1, len(texts)) * max(1, len(options.seed))
    for number, (label, variant) in enumerate(variants(prompt, texts, options.seed), 1):
        print(f"{number}/{total} {label}", flush=True)
        with StatusLine() as status:
            graph = with_values(workflow, variant, nodes) if is_graph(workflow) else None
            outputs = client.run(variant, graph, status.progress)
        for entry in saved_files(outputs):
            print(client.download(entry, unused(options.output / Path(entry["filename"]).name)), flush=True)


if __name__ == "__main__":
    try:
        main()
    except (RunError, WorkflowError, ConnectionError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

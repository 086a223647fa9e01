"""Queue a workflow on a running ComfyUI, once for every prompt and seed, and fetch what it makes.

    python batch.py example_workflows/text_to_video_demo.json --prompt "a red square moving left" --seed 1 2 3
    python batch.py my_workflow.json --prompts-file prompts.txt --set KSampler.steps=8 --output results

The workflow may be a file saved by the editor or one exported in API format. A prompt goes where the workflow's one
positive prompt stands; where that is not certain, --prompt-input names the place.

The server is not started: that is `python dev.py serve`, or your own ComfyUI. Its address may be one of https, with a
name and a password: https://name:password@example.org. A certificate of your own is named in SSL_CERT_FILE.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from client.api import ComfyClient, RunError, saved_files
from client.console import StatusLine
from client.files import safe_name
from client.workflow import (
    WorkflowError,
    input_types,
    is_graph,
    load,
    set_input,
    set_seed,
    set_text,
    set_value,
    to_prompt,
    with_values,
)

SHOWN = frozenset({"IMAGE", "MASK", "VIDEO", "AUDIO", "*"})
"""What the nodes take that save or show pictures, clips, sound, and values."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflow", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="address of ComfyUI (default: %(default)s)")
    parser.add_argument("--prompt", nargs="+", default=[], metavar="TEXT", help="positive prompts")
    parser.add_argument("--prompts-file", type=Path, help="a text file with one positive prompt a line")
    parser.add_argument("--prompt-input", metavar="NODE.INPUT",
                        help="the input that takes the prompts, where the workflow leaves that open")
    parser.add_argument("--seed", nargs="+", type=int, default=[], help="seeds; every prompt is run with each")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE",
                        help="set an input, by the node's id, title or class; may be repeated")
    parser.add_argument("--output", type=Path, default=Path("output"), help="folder for the results")
    return parser.parse_args(arguments)


def variants(texts: list[str], seeds: list[int]) -> Iterator[tuple[str, str | None, int | None]]:
    """Yield (label, text, seed) for every text with every seed; None leaves the workflow's own."""
    for text, seed in itertools.product(texts or [None], seeds or [None]):
        parts = (text, None if seed is None else f"seed {seed}")
        yield ", ".join(part for part in parts if part is not None) or "as saved", text, seed


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file that hold something."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise WorkflowError(f"{path} is not text in UTF-8: {error}") from None
    return [line.strip() for line in lines if line.strip()]


def stop_like_ctrl_c() -> None:
    """Let the signals that ask a program to end act like Ctrl-C, which takes the prompt off the server."""
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        # A signal that is ignored, such as under nohup, stays ignored.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def saves_models(prompt: dict[str, Any], nodes: dict[str, Any]) -> bool:
    """Say whether a prompt, such as a training, saves what is of use on the server only and so is not fetched."""
    described = [nodes.get(node["class_type"], {}) for node in prompt.values()]
    return any(node.get("output_node") and not SHOWN & set(input_types(node)) for node in described)


def main() -> None:
    """Queue all that the command line asks for, one after the other, and print the paths of the results."""
    options = parse()
    texts = options.prompt + (read_lines(options.prompts_file) if options.prompts_file else [])
    client = ComfyClient(options.server)
    nodes = client.object_info()
    workflow = load(options.workflow)
    prompt = to_prompt(workflow, nodes)
    for assignment in options.set:
        set_value(prompt, assignment)
    total = max(1, len(texts)) * max(1, len(options.seed))
    for number, (label, text, seed) in enumerate(variants(texts, options.seed), 1):
        if text is not None and options.prompt_input:
            set_input(prompt, options.prompt_input, text)
        elif text is not None:
            set_text(prompt, text, nodes)
        if seed is not None:
            set_seed(prompt, seed)
        print(f"{number}/{total} {label}", flush=True)
        with StatusLine() as status:
            graph = with_values(workflow, prompt, nodes) if is_graph(workflow) else None
            outputs = client.run(prompt, graph, status.progress, status.show)
        saved = saved_files(outputs)
        if not saved and not saves_models(prompt, nodes):
            raise RunError("the run lists no file to fetch; the workflow has to end in a node that saves its result, "
                           "such as Save Video, not in a preview")
        for entry in saved:
            print(client.download_new(entry, options.output / safe_name(entry["filename"])), flush=True)


if __name__ == "__main__":
    stop_like_ctrl_c()
    try:
        main()
    except (RunError, WorkflowError, ConnectionError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

"""Queue a workflow on running ComfyUIs, once for every row of a table, and fetch what it makes.

    python batch.py my_workflow.json rows.csv --output results
    python batch.py my_workflow.json rows.jsonl --server http://one:8188 http://two:8188 --keep-going
    python batch.py "example_workflows/03 Text to Video Demo.json" --prompt "a red car driving left" --seed 1 2 3
    python batch.py my_workflow.json --prompts-file prompts.txt --set KSampler.steps=8

A column of the table is `prompt`, `seed`, or NODE.INPUT as in --set; `name` is what the row's files are called, and
`workflow` names a workflow for that row alone. Empty cells leave the workflow's own. The workflow may be a file saved
by the editor, subgraphs included, or one exported in API format. A prompt goes where the workflow's one positive prompt
stands; where that is not certain, --prompt-input names the place.

Each row goes to a server that is free. Every row is checked before the first is queued. What has become of each is
written to batch.jsonl in the output folder: the same command again goes on where it was ended, and does nothing twice.
Exit status: 0 when all rows are done, 1 when some are not, 130 after Ctrl-C.

The servers are not started: that is `python dev.py serve`, or your own ComfyUI. An address may be one of https, with a
name and a password: https://name:password@example.org. A certificate of your own is named in SSL_CERT_FILE.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from client.api import RunError
from client.batches.board import Board
from client.batches.display import Display
from client.batches.jobs import Job, Recipe, make_jobs
from client.batches.manifest import DONE, Manifest
from client.batches.on_ray import RayPlace, ray_places
from client.batches.places import ServerPlace
from client.batches.rows import TABLES, Row, make_rows, read_lines, read_rows
from client.batches.work import CancelledError, Limits, Worker, run_all, turns_of
from client.console import print_everything
from client.workflow import WorkflowError
from storage.locks import held

DEFAULT_SERVER = "http://127.0.0.1:8188"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflow", type=Path, help="the workflow; or the table alone, if it has a column `workflow`")
    parser.add_argument("rows", type=Path, nargs="?", help="a table of rows: .csv with a header, or .jsonl")
    parser.add_argument("--server", nargs="+", action="extend", metavar="URL",
                        help=f"addresses of ComfyUIs (default: {DEFAULT_SERVER})")
    parser.add_argument("--prompt", nargs="+", default=[], metavar="TEXT", help="positive prompts, in place of a table")
    parser.add_argument("--prompts-file", type=Path, help="a text file with one positive prompt a line")
    parser.add_argument("--prompt-input", metavar="NODE.INPUT",
                        help="the input that takes the prompts, where the workflow leaves that open")
    parser.add_argument("--seed", nargs="+", type=int, default=[], help="seeds; every prompt is run with each")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE",
                        help="set an input of all rows, by the node's id, title or class; may be repeated")
    parser.add_argument("--output", type=Path, default=Path("output"), help="folder for the results")
    parser.add_argument("--manifest", type=Path, help="where it is written what has become of each row "
                                                      "(default: batch.jsonl in the output folder)")
    parser.add_argument("--again", action="store_true", help="do the rows again that are done")
    parser.add_argument("--keep-going", action="store_true", help="go on with the others when a row has failed")
    parser.add_argument("--retries", type=int, default=2, metavar="N",
                        help="try a row so often again before it has failed (default: %(default)s)")
    parser.add_argument("--give-up", type=float, default=Limits.away, metavar="SECONDS",
                        help="wait so long for a server that went away (default: %(default)s)")
    cluster = parser.add_argument_group("on a Ray cluster (pip install ray)")
    cluster.add_argument("--ray", metavar="ADDRESS",
                         help="run the rows as tasks there: auto, ray://host:10001, or local for one on this machine; "
                              "--server is then an address on the workers' machines")
    cluster.add_argument("--ray-workers", type=int, metavar="N", help="default: one for each GPU of the cluster")
    cluster.add_argument("--start", metavar="COMMAND", help="start a ComfyUI where none answers, such as "
                                                            "'python /opt/ComfyUI/main.py --port {port}'")
    # The table may also come behind options.
    options = parser.parse_intermixed_args(arguments)
    if options.rows is None and options.workflow.suffix.lower() in TABLES:
        options.workflow, options.rows = None, options.workflow
    if options.rows is not None and (options.prompt or options.prompts_file or options.seed):
        parser.error("give a table of rows, or prompts and seeds, not both")
    return options


def rows_of(options: argparse.Namespace) -> list[Row]:
    """Return the rows that the command line asks for."""
    if options.rows is not None:
        return read_rows(options.rows)
    return make_rows(options.prompt + (read_lines(options.prompts_file) if options.prompts_file else []), options.seed)


def stop_like_ctrl_c() -> None:
    """Let the signals that ask a program to end act like Ctrl-C, which takes what runs off the servers."""
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        # A signal that is ignored, such as under nohup, stays ignored.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def places_of(options: argparse.Namespace, pause: Callable[[float], None]) -> list[ServerPlace] | list[RayPlace]:
    """Return the places where rows can run."""
    if options.ray:
        server = options.server[0] if options.server else None if options.start else DEFAULT_SERVER
        return ray_places(options.ray, options.ray_workers, server, options.start, pause)
    return [ServerPlace(url, pause) for url in dict.fromkeys(options.server or [DEFAULT_SERVER])]


def nodes_of(places: list[ServerPlace] | list[RayPlace]) -> dict[str, Any]:
    """Return the description of the nodes from the first server that answers."""
    for place in places[:-1]:
        try:
            return place.object_info()
        except ConnectionError as error:
            print(f"{place.name} is left out for now: {error}", file=sys.stderr)
    return places[-1].object_info()


def run(options: argparse.Namespace) -> str | None:
    """Do all that the command line asks for; return what is wrong at the end, or None."""
    rows = rows_of(options)
    manifest = Manifest(options.manifest or options.output / "batch.jsonl")
    board = Board(options.keep_going)

    def pause(seconds: float) -> None:
        if board.stopping.wait(seconds):
            raise CancelledError

    places = places_of(options, pause)
    recipe = Recipe(options.workflow, options.rows.parent if options.rows else Path(), tuple(options.set),
                    options.prompt_input)
    jobs = make_jobs(rows, recipe, nodes_of(places))
    waiting = [job for job in jobs if options.again or manifest.state(job) != DONE]
    done = len(jobs) - len(waiting)
    if done:
        print(f"{done} of {len(jobs)} rows are done already", flush=True)
    board.add(turns_of(waiting, manifest, places))
    display = Display(len(jobs), done, several=len(places) > 1)
    limits = Limits(tries=1 + options.retries, away=options.give_up)
    try:
        run_all([Worker(place, board, manifest, options.output, limits, display) for place in places], board)
    finally:
        display.close()
    return summary(jobs, board)


def summary(jobs: list[Job], board: Board) -> str | None:
    """Return what was not done, or None."""
    lines = [f"  row {job.number} ({job.label}): {error}" for job, error in board.failed]
    if lines:
        lines.insert(0, f"{len(lines)} of {len(jobs)} rows failed:")
    if board.left:
        lines.append(f"{board.left} of {len(jobs)} rows are not done; the same command goes on with them")
    return "\n".join(lines) or None


def main() -> None:
    """Run the command line; one process at a time for each manifest."""
    options = parse()
    with held(options.manifest or options.output / "batch.jsonl"):
        trouble = run(options)
    if trouble:
        sys.exit(f"error: {trouble}")


if __name__ == "__main__":
    stop_like_ctrl_c()
    print_everything()
    try:
        main()
    except (RunError, WorkflowError, ConnectionError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

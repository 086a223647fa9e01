"""Rows made into jobs: the prompt of each, its name, and the digest by which it is known again."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..problems import WorkflowError
from ..texts import set_text
from ..widgets import SEEDS
from ..workflow import is_graph, load, set_input, set_seed, set_value, to_prompt, value_of, with_values
from .checks import changed, objections
from .rows import NAME, PROMPT, SEED, WORKFLOW, Row

LONGEST_NAME = 60
LONGEST_BYTES = 160
"""The same on the disk, which allows 255 for all of a file's name."""
LARGEST_EXACT = 2.0**53
"""From here on a number with a point is no longer exact."""
SHOWN = 20
"""So many bad rows are listed."""


@dataclass(frozen=True)
class Job:
    """One row, ready to be queued.

    Attributes:
        key: A digest of all that the server runs; the same row again has the same.
        name: What its files are called, without their endings.
        workflow: The file that it was made from, where that is the editor's graph.
        nodes: The server's description of its nodes.
    """

    key: str
    number: int
    label: str
    name: str
    seed: int | None
    prompt: dict[str, Any]
    workflow: dict[str, Any] | None
    nodes: dict[str, Any]

    def graph(self) -> dict[str, Any] | None:
        """Return the editor's graph with the row's values, for the files that the server saves."""
        return None if self.workflow is None else with_values(self.workflow, self.prompt, self.nodes)


@dataclass(frozen=True)
class Recipe:
    """How rows become jobs.

    Attributes:
        workflow: The file for rows without one of their own; None where each has one.
        folder: Where the paths of the column `workflow` begin.
        settings: NODE.INPUT=VALUE for all rows.
        prompt_input: NODE.INPUT that takes the prompts; found by itself where it is None.
    """

    workflow: Path | None
    folder: Path
    settings: tuple[str, ...] = ()
    prompt_input: str | None = None


def make_jobs(rows: Iterable[Row], recipe: Recipe, nodes: dict[str, Any]) -> list[Job]:
    """Return the jobs of all rows.

    Raises:
        WorkflowError: A workflow cannot be used, or rows hold values that the server would refuse; all are named.
    """
    jobs, troubles = [], []
    read: dict[Path | None, tuple[dict[str, Any], dict[str, Any]]] = {}
    count: Counter[str] = Counter()
    for number, row in enumerate(rows, 1):
        try:
            path = recipe.folder / str(row.values[WORKFLOW]) if WORKFLOW in row.values else recipe.workflow
            if path is None:
                raise WorkflowError("it names no workflow; add a column for that, or give one before the table")
            if path not in read:
                workflow = load(path)
                read[path] = workflow, to_prompt(workflow, nodes)
            job = _job(number, row, recipe, *read[path], nodes)
        except WorkflowError as error:
            troubles.append(f"{row.place}: {error}")
            continue
        count[job.key] += 1
        # The same row again is another job: it is asked for twice.
        jobs.append(job if count[job.key] == 1 else Job(**vars(job) | {"key": f"{job.key}-{count[job.key]}"}))
    if troubles:
        more = f"\n  and {len(troubles) - SHOWN} more" if len(troubles) > SHOWN else ""
        raise WorkflowError("nothing is queued, because of\n  " + "\n  ".join(troubles[:SHOWN]) + more)
    return jobs


def _job(number: int, row: Row, recipe: Recipe, workflow: dict[str, Any], original: dict[str, Any],
         nodes: dict[str, Any]) -> Job:
    prompt = copy.deepcopy(original)
    for setting in recipe.settings:
        set_value(prompt, setting)
    _set_all(prompt, row, recipe, nodes)
    places = changed(prompt, original)
    if found := objections(prompt, places, nodes):
        raise WorkflowError("; ".join(found))
    # What it leaves as it is, all rows have in common.
    different = {node_id for node_id, _ in places}
    prompt = {node_id: node if node_id in different else original[node_id] for node_id, node in prompt.items()}
    seed = _seed_in(row.values[SEED]) if SEED in row.values else _seed_of(prompt)
    runs = {node_id: [node["class_type"], node["inputs"]] for node_id, node in prompt.items()}
    key = hashlib.sha256(json.dumps(runs, sort_keys=True).encode()).hexdigest()[:16]
    graph = workflow if is_graph(workflow) else None
    return Job(key, number, row.label, _name(number, row, seed), seed, prompt, graph, nodes)


def _set_all(prompt: dict[str, Any], row: Row, recipe: Recipe, nodes: dict[str, Any]) -> None:
    """Write the values of a row into its prompt: whole nodes' prompts and seeds first, then single inputs."""
    values = row.values
    if PROMPT in values and recipe.prompt_input:
        set_input(prompt, recipe.prompt_input, str(values[PROMPT]))
    elif PROMPT in values:
        set_text(prompt, str(values[PROMPT]), nodes)
    if SEED in values:
        set_seed(prompt, _seed_in(values[SEED]))
    for column, value in values.items():
        if column not in (PROMPT, SEED, NAME, WORKFLOW):
            set_input(prompt, column, value_of(value))


def _seed_in(value: Any) -> int:
    """Return the seed of a cell; some programs write whole numbers with a point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_EXACT:
        return int(value)
    if type(value) is not int:
        raise WorkflowError(f"seed is {value!r}, expected a whole number")
    return value


def _seed_of(prompt: dict[str, Any]) -> int | None:
    """Return the first seed of a prompt."""
    return next((value for node in prompt.values() for name, value in node["inputs"].items()
                 if name.rpartition(".")[2] in SEEDS and type(value) is int), None)


def _name(number: int, row: Row, seed: Any) -> str:
    """Return the name of a row's files, such as `0007-a-penguin-running-left-seed-42`."""
    text = str(row.values.get(NAME) or row.values.get(PROMPT) or "")
    words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", text).lower()).strip("-")[:LONGEST_NAME]
    words = words.encode()[:LONGEST_BYTES].decode(errors="ignore").strip("-")
    return "-".join(part for part in (f"{number:04}", words, None if seed is None else f"seed-{seed}") if part)

"""Where rows run: a place takes one row at a time, gives its files, and may be away for a while."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from ..api import ComfyClient, Progress, RunError, saved_files
from ..workflow import input_types
from .jobs import Job

SHOWN = frozenset({"IMAGE", "MASK", "VIDEO", "AUDIO", "*"})
"""What the nodes take that save or show pictures, clips, sound, and values."""

Files = list[tuple[str, bytes]]


class Place(Protocol):
    """A ComfyUI on which one row at a time runs."""

    name: str

    def run(self, job: Job, prompt_id: str, known: bool, show: Callable[[str], None]) -> Files:
        """Run a row and return its files, (name, content).

        Args:
            prompt_id: The id that it is to have.
            known: Whether it may be there already under this id: then it is looked for before it is queued.

        Raises:
            RunError: It failed.
            ConnectionError: The place is away.
        """

    def is_back(self) -> bool:
        """Say whether a place that was away answers again.

        Raises:
            RunError: It never will.
        """

    def cancel(self, prompt_id: str) -> None:
        """Drop what has been given to another place in the meantime; never raises for a place that is away."""


class ServerPlace:
    """A server, reached over HTTP.

    Args:
        pause: Waits so many seconds; what it raises ends the run.
    """

    def __init__(self, url: str, pause: Callable[[float], None]) -> None:
        self.client = ComfyClient(url, pause=pause)
        self.name = self.client.url
        self._nodes: dict[str, Any] | None = None

    def object_info(self) -> dict[str, Any]:
        """Return the server's description of its nodes."""
        if self._nodes is None:
            self._nodes = self.client.object_info()
        return self._nodes

    def run(self, job: Job, prompt_id: str, known: bool, show: Callable[[str], None]) -> Files:
        """Run a row, see `Place`."""
        def progress(progress: Progress) -> None:
            show(f"{progress.node_type} {progress.step}/{progress.steps}" if progress.steps else progress.node_type)

        nodes = self.object_info()
        return run_on(self.client, job.prompt, job.graph(), prompt_id, known, nodes, (progress, show))

    def is_back(self) -> bool:
        """Say whether the server answers."""
        return self.client.answers()

    def cancel(self, prompt_id: str) -> None:
        """Take a prompt off the server."""
        with suppress(RunError, ConnectionError):
            self.client.cancel(prompt_id)


def run_on(client: ComfyClient, prompt: dict[str, Any], graph: dict[str, Any] | None, prompt_id: str, known: bool,
           nodes: dict[str, Any], shows: tuple[Callable[[Progress], None], Callable[[str], None]]) -> Files:
    """Run a prompt on a server, or follow it where it is there already, and return its files."""
    if known and client.find(prompt_id) is not None:
        outputs = client.follow(prompt_id, prompt, *shows)
    else:
        outputs = client.run(prompt, graph, *shows, prompt_id=prompt_id)
    saved = saved_files(outputs)
    if not saved and not saves_models(prompt, nodes):
        raise RunError("the run lists no file to fetch; the workflow has to end in a node that saves its result, "
                       "such as Save Video, not in a preview")
    return [(entry["filename"], client.fetch_file(entry)) for entry in saved]


def saves_models(prompt: dict[str, Any], nodes: dict[str, Any]) -> bool:
    """Say whether a prompt, such as a training, saves what is of use on the server only and so is not fetched."""
    described = [nodes.get(node["class_type"], {}) for node in prompt.values()]
    return any(node.get("output_node") and not SHOWN & set(input_types(node)) for node in described)

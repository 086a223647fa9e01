"""Rows as tasks of a Ray cluster, whose workers reach a ComfyUI on their machine or start one.

Which machines there are, and what happens when one is gone, is Ray's business: a lost worker is started again, and its
row is another's in the meantime.
"""

from __future__ import annotations

import importlib
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..api import ComfyClient, RunError
from ..outcomes import RefusedError, StoppedError
from .jobs import Job
from .places import Files, run_on

START_SECONDS = 600.0
POLL_SECONDS = 1.0
ERRORS: dict[str, type[Exception]] = {"refused": RefusedError, "stopped": StoppedError, "failed": RunError,
                                      "away": ConnectionError}
"""What a worker may answer in place of a result: by name, since not every error can be sent."""


class RayWorker:
    """What a worker of the cluster does; it lives there.

    Args:
        server: The address, on the worker's machine, of a ComfyUI that runs already; None for none.
        start: The command that starts one, with {port}; None where it is only to be reached.
    """

    def __init__(self, server: str | None, start: str | None) -> None:
        self._server, self._start = server, start
        self._process: subprocess.Popen[bytes] | None = None
        self._client: ComfyClient | None = None
        self._nodes: dict[str, Any] = {}

    def ask(self, what: str, *details: Any) -> tuple[str, Any]:
        """Call one of the methods below and return ("done", its result), or (what is wrong, its text)."""
        try:
            return "done", getattr(self, what)(*details)
        except tuple(ERRORS.values()) as error:
            return next(kind for kind, known in ERRORS.items() if isinstance(error, known)), str(error)

    def object_info(self) -> dict[str, Any]:
        """Return the description of the nodes, once a server is there."""
        self._nodes = self._nodes or self._reached().object_info()
        return self._nodes

    def run(self, prompt: dict[str, Any], graph: dict[str, Any] | None, prompt_id: str, known: bool) -> Files:
        """Run a prompt and return its files."""
        nodes = self.object_info()
        return run_on(self._reached(), prompt, graph, prompt_id, known, nodes, (_nothing, _nothing))

    def cancel(self, prompt_id: str) -> None:
        """Drop a prompt."""
        if self._client is not None:
            self._client.cancel(prompt_id)

    def _reached(self) -> ComfyClient:
        """Return a client of the server, which is started where there is none."""
        if self._client is not None and (self._process is None or self._process.poll() is None):
            return self._client
        if self._server is not None:
            client = ComfyClient(self._server)
            if client.answers() or self._start is None:
                self._client = client
                return client
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = shlex.split(str(self._start).replace("{port}", str(port)))
        # Tied to this worker, so that it ends with it however it ends.
        self._process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("tied.py")), *command],
                                         stdin=subprocess.PIPE)
        self._client = ComfyClient(f"http://127.0.0.1:{port}")
        until = time.monotonic() + START_SECONDS
        while not self._client.answers():
            if self._process.poll() is not None:
                raise RunError(f"`{shlex.join(command)}` ended with {self._process.returncode} before it answered")
            if time.monotonic() > until:
                raise RunError(f"`{shlex.join(command)}` does not answer at port {port}")
            time.sleep(POLL_SECONDS)
        return self._client


class RayPlace:
    """A worker of the cluster, as a place for rows."""

    def __init__(self, ray: Any, worker: Any, name: str, pause: Callable[[float], None]) -> None:
        self._ray, self._worker, self.name, self._pause = ray, worker, name, pause

    def object_info(self) -> dict[str, Any]:
        """Return the description of the nodes there."""
        return self._ask("object_info")

    def run(self, job: Job, prompt_id: str, known: bool, show: Callable[[str], None]) -> Files:
        """Run a row, see `Place`."""
        try:
            return self._ask("run", job.prompt, job.graph(), prompt_id, known)
        except BaseException:
            self.cancel(prompt_id)
            raise

    def is_back(self) -> bool:
        """Wait for the worker, which Ray starts again where it was lost; say whether it has a server."""
        with suppress(ConnectionError):
            return bool(self._ask("object_info"))
        return False

    def cancel(self, prompt_id: str) -> None:
        """Drop a prompt there."""
        self._worker.ask.remote("cancel", prompt_id)

    def _ask(self, *request: Any) -> Any:
        task = self._worker.ask.remote(*request)
        try:
            while not self._ray.wait([task], timeout=POLL_SECONDS)[0]:
                self._pause(0)
            kind, found = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            raise ConnectionError(f"{self.name} is lost: {str(error).splitlines()[0]}") from None
        if kind != "done":
            raise ERRORS[kind](found)
        return found


def ray_places(address: str, count: int | None, server: str | None, start: str | None,
               pause: Callable[[float], None]) -> list[RayPlace]:
    """Join a cluster and return its workers as places.

    Args:
        address: The cluster's, such as auto or ray://host:10001; `local` makes one on this machine.
        count: The workers; by default one for each GPU of the cluster, or for each machine where there are none.

    Raises:
        RunError: Ray is not installed, or there is no cluster.
    """
    try:
        # Not installed where types are checked.
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise RunError("--ray needs the package ray: pip install ray") from None
    own = {"include_dashboard": False} if address == "local" else {}
    try:
        # The workers get this code with the batch.
        ray.init(address, log_to_driver=False, logging_level="error",
                 runtime_env={"py_modules": [str(Path(__file__).resolve().parents[1])]}, **own)
    except Exception as error:
        # Ray has no error of its own for this.
        raise RunError(f"there is no Ray cluster at {address}: {error}") from None
    gpus = int(ray.cluster_resources().get("GPU", 0))
    count = count or gpus or len([node for node in ray.nodes() if node["Alive"]])
    # Threads of its own, so that it can be asked to drop what it runs.
    kind = ray.remote(RayWorker).options(num_cpus=1, num_gpus=1 if gpus else 0, max_restarts=-1, max_concurrency=3)
    return [RayPlace(ray, kind.remote(server, start), f"ray worker {number}", pause)
            for number in range(1, count + 1)]


def _nothing(what: object) -> None:
    """Show nothing: the terminal is elsewhere."""

"""The HTTP and WebSocket interface of a running ComfyUI, as far as queueing workflows needs it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .websocket import ClosedError, WebSocket


class RunError(RuntimeError):
    """The server refused a prompt, or a run failed or was interrupted."""


@dataclass(frozen=True)
class Progress:
    """What a run is doing: the node at work, and its step of how many (0 of 0 for nodes without steps)."""

    node_type: str
    step: int
    steps: int


class ComfyClient:
    """One client of one server.

    Args:
        url: The server's address, such as http://127.0.0.1:8188.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.client_id = uuid.uuid4().hex

    def object_info(self) -> dict[str, Any]:
        """Return the description of every node that the server knows."""
        return self._json("/object_info")

    def templates(self) -> dict[str, list[str]]:
        """Return the example workflows that the server's node packs bring, {pack: names}."""
        return self._json("/workflow_templates")

    def queue(self, prompt: dict[str, Any], workflow: dict[str, Any] | None = None) -> str:
        """Queue a prompt in API format and return its id.

        Args:
            workflow: The graph it came from; the host stores it in the files that it saves, so that they can be
                dragged back into the editor.

        Raises:
            RunError: The server refuses the prompt, or a part of it.
        """
        body: dict[str, Any] = {"prompt": prompt, "client_id": self.client_id}
        if workflow is not None:
            body["extra_data"] = {"extra_pnginfo": {"workflow": workflow}}
        answer = self._json("/prompt", body)
        if answer.get("node_errors"):
            # The host has queued the rest of the prompt: a part of what was asked for would be missing in the end.
            self.cancel(answer["prompt_id"])
            raise RunError(_explain(answer, prompt))
        return answer["prompt_id"]

    def wait(self, prompt_id: str, prompt: dict[str, Any],
             on_progress: Callable[[Progress], None] = lambda progress: None) -> dict[str, Any]:
        """Follow a run to its end and return its outputs, {node id: {kind: [...]}}.

        Raises:
            RunError: A node failed, or the run was interrupted.
            ConnectionError: The server went away.
        """
        for message in self._messages(prompt_id):
            kind, data = message.get("type"), message.get("data", {})
            node = prompt.get(str(data.get("node")), {}).get("class_type")
            if data.get("prompt_id") == prompt_id and node is not None and kind in ("executing", "progress"):
                on_progress(Progress(node, data.get("value", 0), data.get("max", 0)))
        return self._outcome(self._history(prompt_id))

    def run(self, prompt: dict[str, Any], workflow: dict[str, Any] | None = None,
            on_progress: Callable[[Progress], None] = lambda progress: None) -> dict[str, Any]:
        """Queue a prompt, follow it to its end and return its outputs; on Ctrl-C the server is told to stop it."""
        prompt_id = self.queue(prompt, workflow)
        try:
            return self.wait(prompt_id, prompt, on_progress)
        except KeyboardInterrupt:
            self.cancel(prompt_id)
            raise

    def cancel(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or interrupt it where it runs already."""
        self._fetch("/queue", {"delete": [prompt_id]})
        self._fetch("/interrupt", {"prompt_id": prompt_id})

    def download(self, result: dict[str, str], target: Path) -> Path:
        """Fetch one saved file, an entry of a run's outputs, and return where it lies now."""
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.fetch_file(result))
        return target

    def fetch_file(self, result: dict[str, str]) -> bytes:
        """Return the content of one saved file, an entry of a run's outputs."""
        names = {key: result.get(key, "") for key in ("filename", "subfolder", "type")}
        return self._fetch("/view?" + urllib.parse.urlencode(names))

    def _messages(self, prompt_id: str) -> Iterator[dict[str, Any]]:
        """Yield the server's messages until the run has ended. The history has the last word, not the messages:
        those can be missed when the connection comes late or breaks."""
        connection = None
        try:
            while True:
                try:
                    if connection is None:
                        address = self.url.replace("http", "ws", 1)
                        connection = WebSocket(f"{address}/ws?clientId={self.client_id}")
                    text = connection.receive(1.0)
                except (ClosedError, ConnectionError, TimeoutError):
                    connection, text = None, None
                    time.sleep(0.5)
                message = json.loads(text) if text else {}
                yield message
                ended = message.get("type") in ("execution_success", "execution_error", "execution_interrupted")
                if (ended or not text) and self._history(prompt_id):
                    return
        finally:
            if connection is not None:
                connection.close()

    def _history(self, prompt_id: str) -> dict[str, Any]:
        return self._json(f"/history/{prompt_id}").get(prompt_id, {})

    def _outcome(self, entry: dict[str, Any]) -> dict[str, Any]:
        status = entry.get("status") or {}
        if status.get("status_str") == "success":
            return entry.get("outputs", {})
        for kind, data in status.get("messages", []):
            if kind == "execution_error":
                what = f"{data.get('exception_type')}: {data.get('exception_message', '').strip()}"
                raise RunError(f"{data.get('node_type')} (node {data.get('node_id')}) failed: {what}")
            if kind == "execution_interrupted":
                raise RunError("the run was interrupted")
        raise RunError(f"the run ended as {status.get('status_str')!r}")

    def _json(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._fetch(path, body)
        return json.loads(answer) if answer else {}

    def _fetch(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        """GET a path, or POST a body to it."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"} if data else {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                refusal = _explain(json.loads(text), (body or {}).get("prompt", {}))
            except (ValueError, AttributeError):
                refusal = f"the server answered {error.code} to {path}: {text[:500]}"
            raise RunError(refusal) from None
        except urllib.error.URLError as error:
            raise ConnectionError(f"no ComfyUI answers at {self.url}: {error.reason}") from None


def saved_files(outputs: dict[str, Any]) -> list[dict[str, str]]:
    """Return every saved file in a run's outputs; previews, which are of type `temp`, are left out."""
    return [entry for node in outputs.values() for entries in node.values() if isinstance(entries, list)
            for entry in entries if isinstance(entry, dict) and entry.get("type") == "output" and "filename" in entry]


def _explain(answer: dict[str, Any], prompt: dict[str, Any]) -> str:
    """Return the server's objections to a prompt as lines of text."""
    error = answer.get("error") or {}
    lines = [f"the server refused the workflow: {error.get('message', '')} {error.get('details', '')}".rstrip(" :")]
    for node, trouble in (answer.get("node_errors") or {}).items():
        kind = trouble.get("class_type") or prompt.get(node, {}).get("class_type")
        lines += [f"  {kind} (node {node}): {e.get('message')}: {e.get('details')}" for e in trouble.get("errors", [])]
    return "\n".join(lines)

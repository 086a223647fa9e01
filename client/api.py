"""What a running ComfyUI offers over HTTP, as far as queueing workflows needs it."""

from __future__ import annotations

import time
import urllib.parse
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from .files import write_new, write_whole
from .http import RETRY_WAITS, HttpServer, RunError, StatusError, TransientError
from .messages import Messages
from .outcomes import LostError, RefusedError, explain, outcome, refusal, saved_files

__all__ = ["ComfyClient", "Progress", "RunError", "saved_files"]

POLL_SECONDS = 0.5
FIRST_POLL_SECONDS = 0.05
"""The first looks come sooner, each twice as long after the one before."""
POLLS_PER_LOOK = 10
"""So many looks into the history go to one into the queue, which lists whole workflows."""
END_MESSAGES = ("execution_success", "execution_error", "execution_interrupted")


@dataclass(frozen=True)
class Progress:
    """What a run is doing: the node at work, and its step of how many (0 of 0 for nodes without steps)."""

    node_type: str
    step: int
    steps: int


class ComfyClient:
    """One client of one server.

    Args:
        url: The server's address, such as http://127.0.0.1:8188 or https://name:password@example.org.
        poll_seconds: Longest time between two looks at whether a run has ended.
        retry_waits: Seconds before each further try of a request to which no useful answer came.
        pause: Waits so many seconds, none between two looks; what it raises ends the work, and the run with it.

    Raises:
        ConnectionError: It is no address of a server.
    """

    def __init__(self, url: str, poll_seconds: float = POLL_SECONDS,
                 retry_waits: Sequence[float] = RETRY_WAITS, pause: Callable[[float], None] = time.sleep) -> None:
        self._server = HttpServer(url, retry_waits, pause)
        self._pause = pause
        self.url = self._server.url
        self.client_id = uuid.uuid4().hex
        self._poll_seconds = poll_seconds
        self._retry_waits = tuple(retry_waits)

    def object_info(self) -> dict[str, Any]:
        """Return the description of every node that the server knows."""
        described = self._server.json("/object_info")
        if not described or not all(isinstance(node, dict) for node in described.values()):
            raise RunError(f"{self.url}/object_info describes no nodes; is this the address of a ComfyUI?")
        return described

    def answers(self) -> bool:
        """Say whether the server answers at this moment.

        Raises:
            RunError: It refuses to, such as without a password.
        """
        try:
            self._server.once("/queue", timeout=10.0)
        except ConnectionError:
            return False
        return True

    def templates(self) -> dict[str, list[str]]:
        """Return the example workflows that the server's node packs bring, {pack: names}."""
        return self._server.json("/workflow_templates")

    def queue(self, prompt: dict[str, Any], workflow: dict[str, Any] | None = None,
              prompt_id: str | None = None) -> str:
        """Queue a prompt in API format and return its id.

        Args:
            workflow: The graph it came from; the host stores it in the files that it saves, so that they can be
                dragged back into the editor.
            prompt_id: The id that it is to have, a UUID; a new one by default.

        Raises:
            RunError: The server refuses the prompt, or a part of it.
        """
        prompt_id = prompt_id or str(uuid.uuid4())
        body: dict[str, Any] = {"prompt": prompt, "client_id": self.client_id, "prompt_id": prompt_id}
        if workflow is not None:
            body["extra_data"] = {"extra_pnginfo": {"workflow": workflow}}
        answer = self._post_prompt(body)
        prompt_id = answer.get("prompt_id")
        if not isinstance(prompt_id, str) or not prompt_id:
            raise RunError(f"{self.url}/prompt gave no prompt_id; is this the address of a ComfyUI?")
        if answer.get("node_errors"):
            # The host has queued the rest of the prompt: a part of what was asked for would be missing in the end.
            self.cancel(prompt_id)
            raise RefusedError(explain(answer, prompt))
        return prompt_id

    def _post_prompt(self, body: dict[str, Any]) -> dict[str, Any]:
        """Post a prompt. Where no answer comes it may have arrived: it is looked for before it is sent again."""
        waits = list(self._retry_waits)
        while True:
            try:
                return self._server.parse("/prompt", self._server.once("/prompt", body))
            except StatusError as error:
                raise RefusedError(refusal(error, body["prompt"])) from None
            except TransientError:
                if not waits:
                    raise
                self._pause(waits.pop(0))
                if self.find(body["prompt_id"]) is not None:
                    return {"prompt_id": body["prompt_id"]}

    def wait(self, prompt_id: str, prompt: dict[str, Any],
             on_progress: Callable[[Progress], None] = lambda progress: None,
             on_state: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
        """Follow a run to its end and return its outputs, {node id: {kind: [...]}}.

        Args:
            on_state: Called with a few words on where the run is, until messages of its progress arrive.

        Raises:
            RunError: A node failed, the run was interrupted, or the server has forgotten it.
            ConnectionError: The server went away.
        """
        started, state, looks, reported = time.monotonic(), None, 0, False
        with Messages(self.url, self._server.headers, self._server.tls, self.client_id) as messages:
            while not (entry := self._history(prompt_id)):
                self._pause(0)
                if looks % POLLS_PER_LOOK == 0:
                    state = self.find(prompt_id)
                if state is None:
                    raise LostError("the server has neither queued nor finished the run: it was restarted, or somebody "
                                    "cleared its queue or its history")
                if not reported:
                    on_state(f"{state}, {time.monotonic() - started:.0f} s")
                seconds = min(self._poll_seconds, FIRST_POLL_SECONDS * 2.0 ** min(looks, 10))
                reported |= self._report(messages, prompt_id, prompt, on_progress, seconds)
                looks += 1
        return outcome(entry)

    def _report(self, messages: Messages, prompt_id: str, prompt: dict[str, Any],
                on_progress: Callable[[Progress], None], seconds: float) -> bool:
        """Hand on the messages of one poll, which an end of the run cuts short; return whether there were any."""
        reported, until = False, time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            message = messages.receive(left)
            kind, data = message.get("type"), message.get("data", {})
            if data.get("prompt_id") != prompt_id:
                continue
            if kind in END_MESSAGES:
                break
            node = prompt.get(str(data.get("node")), {}).get("class_type")
            step, steps = data.get("value", 0), data.get("max", 0)
            if node is not None and kind in ("executing", "progress") and _are_numbers(step, steps):
                on_progress(Progress(node, step, steps))
                reported = True
        return reported

    def run(self, prompt: dict[str, Any], workflow: dict[str, Any] | None = None,
            on_progress: Callable[[Progress], None] = lambda progress: None,
            on_state: Callable[[str], None] = lambda text: None, prompt_id: str | None = None) -> dict[str, Any]:
        """Queue a prompt, follow it to its end and return its outputs.

        Whatever ends this early, Ctrl-C above all, the server is asked to drop the prompt.
        """
        prompt_id = prompt_id or str(uuid.uuid4())
        try:
            prompt_id = self.queue(prompt, workflow, prompt_id)
        except BaseException as error:
            self._drop(prompt_id)
            if isinstance(error, KeyboardInterrupt):
                # The request may still be on its way.
                time.sleep(1.0)
                self._drop(prompt_id)
            raise
        return self.follow(prompt_id, prompt, on_progress, on_state)

    def follow(self, prompt_id: str, prompt: dict[str, Any],
               on_progress: Callable[[Progress], None] = lambda progress: None,
               on_state: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
        """Do the same with a prompt that is queued already."""
        try:
            return self.wait(prompt_id, prompt, on_progress, on_state)
        except BaseException:
            self._drop(prompt_id)
            raise

    def _drop(self, prompt_id: str) -> None:
        with suppress(RunError, ConnectionError):
            self.cancel(prompt_id)

    def cancel(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or interrupt it where it runs already; other prompts go on."""
        self._server.once("/queue", {"delete": [prompt_id]}, timeout=10.0)
        # Not before it is known to run: old servers interrupt whatever runs.
        running, _ = self._queued()
        if prompt_id in running:
            self._server.once("/interrupt", {"prompt_id": prompt_id}, timeout=10.0)

    def download(self, result: dict[str, str], target: Path) -> Path:
        """Fetch one saved file, an entry of a run's outputs, in the place of `target`, and return where it lies now."""
        return write_whole(target, self.fetch_file(result))

    def download_new(self, result: dict[str, str], target: Path) -> Path:
        """Fetch one saved file under a name that is free: this one, or the same with a number."""
        return write_new(target, self.fetch_file(result))

    def fetch_file(self, result: dict[str, str]) -> bytes:
        """Return the content of one saved file, an entry of a run's outputs.

        Raises:
            RunError: Something else came in its place.
        """
        names = {key: result.get(key, "") for key in ("filename", "subfolder", "type")}
        answer = self._server.get("/view?" + urllib.parse.urlencode(names, errors="replace"))
        # The host hands out files of these two kinds as application/octet-stream, or under their own ending.
        wrong = {"text/html": (), "application/json": (".json",)}.get(answer.media_type)
        if wrong is not None and PurePath(names["filename"]).suffix.lower() not in wrong:
            raise RunError(f"the server sent {answer.media_type} in place of {names['filename']}; is a login page "
                           "or a proxy in between?")
        if not answer.content:
            raise RunError(f"the server sent nothing for {names['filename']}")
        return answer.content

    def _history(self, prompt_id: str) -> dict[str, Any]:
        entry = self._server.json(f"/history/{urllib.parse.quote(prompt_id, safe='')}").get(prompt_id, {})
        if not isinstance(entry, dict):
            raise RunError(f"{self.url}/history answered with {entry!r}, expected a run")
        return entry

    def find(self, prompt_id: str) -> str | None:
        """Say in a few words where a run is, or return None where the server does not know it."""
        running, waiting = self._queued()
        if prompt_id in running:
            return "running"
        if prompt_id in waiting:
            return f"waiting, {len(running) + waiting.index(prompt_id)} before it"
        # It can have ended since the last look.
        return "ended" if self._history(prompt_id) else None

    def _queued(self) -> tuple[list[str], list[str]]:
        """Return the ids of the prompts that run, and of those that wait, in their order."""
        queue = self._server.json("/queue")
        try:
            # An entry is [number, id, ...]; the smallest number is next.
            running, waiting = ([entry[1] for entry in sorted(queue[name], key=lambda entry: entry[0])]
                                for name in ("queue_running", "queue_pending"))
        except (KeyError, TypeError, IndexError):
            raise RunError(f"{self.url}/queue lists no prompts; is this the address of a ComfyUI?") from None
        return running, waiting


def _are_numbers(*values: object) -> bool:
    return all(isinstance(value, (int, float)) for value in values)

"""A stand-in for a ComfyUI, with troubles that a test puts in."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, str, bytes]
SAVED = {"filename": "a.mp4", "subfolder": "", "type": "output"}


class Stand(ThreadingHTTPServer):
    """A stand-in for a ComfyUI: a queue in which every prompt runs until `finish`, and troubles put in by a test."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.running: list[str] = []
        self.pending: list[str] = []
        self.history: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {"1": {"images": [SAVED]}}
        self.finishes = True
        self.calls: list[tuple[str, Any]] = []
        self.authorizations: set[str | None] = set()
        self.troubles: dict[str, list[Callable[[Handler], None]]] = {}
        self.answers: dict[str, Answer] = {"/view": (200, "video/mp4", b"film")}

    def answer(self, path: str, body: Any) -> Answer:
        if path in self.answers:
            return self.answers[path]
        found: Any = {}
        if path == "/prompt":
            self.queue(body["prompt_id"])
            found = {"prompt_id": body["prompt_id"], "number": 1, "node_errors": {}}
        elif path == "/queue" and body:
            self.pending = [name for name in self.pending if name not in body["delete"]]
        elif path == "/interrupt":
            self.running = [name for name in self.running if name != body["prompt_id"]]
        elif path == "/queue":
            found = {"queue_running": [[1, name] for name in self.running],
                     "queue_pending": [[2 + i, name] for i, name in enumerate(self.pending)]}
        elif path.startswith("/history/"):
            name = path.rpartition("/")[2]
            found = {name: self.history[name]} if name in self.history else {}
        return 200, "application/json", json.dumps(found).encode()

    def queue(self, prompt_id: str) -> None:
        if self.finishes:
            self.history[prompt_id] = {"outputs": self.outputs, "status": {"status_str": "success"}}
        else:
            self.running.append(prompt_id)

    def trouble(self, path: str, *kinds: Callable[[Handler], None]) -> None:
        """Let the next requests to a path end so, before they come through again."""
        self.troubles.setdefault(path, []).extend(kinds)

    def count(self, path: str) -> int:
        return sum(called == path for called, _ in self.calls)


class Handler(BaseHTTPRequestHandler):
    server: Stand

    def do_GET(self) -> None:
        self.work(None)

    def do_POST(self) -> None:
        self.work(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def work(self, body: Any) -> None:
        path = self.path.partition("?")[0]
        self.server.calls.append((path, body))
        self.server.authorizations.add(self.headers["Authorization"])
        waiting = self.server.troubles.get(path)
        if waiting:
            waiting.pop(0)(self)
        else:
            self.send(*self.server.answer(path, body))

    def send(self, status: int, kind: str, content: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *details: Any) -> None:
        pass


def status(code: int) -> Callable[[Handler], None]:
    return lambda handler: handler.send(code, "text/plain", b"500 Internal Server Error")


def reset(handler: Handler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def cut(handler: Handler) -> None:
    handler.send(200, "video/mp4", b"fi", length=4)


def arrive_and_reset(handler: Handler) -> None:
    """The prompt is queued, but the answer gets lost."""
    handler.server.queue(handler.server.calls[-1][1]["prompt_id"])
    reset(handler)


def html(handler: Handler) -> None:
    handler.send(200, "text/html", b"<html>Please log in</html>")

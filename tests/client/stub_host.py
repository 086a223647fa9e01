"""A process that speaks a ComfyUI's HTTP interface and can be killed: python stub_host.py PORT LOG [SECONDS]

Every prompt takes so many seconds, one after the other, and makes a file that names its seed. What has run to its end
is written to the log as `port prompt_id seed`; the process id is in a file beside it. Queue and history are gone with
the process, as a ComfyUI's are. A prompt with the text `fail` fails, one with `lose` is forgotten the first time.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

NODES = {"SaveVideo": {"input": {"required": {"video": ["VIDEO", {}]}}, "output_node": True},
         "Text": {"input": {"required": {"text": ["STRING", {}]}}},
         "KSampler": {"input": {"required": {"seed": ["INT", {"min": 0, "max": 1000}], "positive": ["CONDITIONING"]},
                                "optional": {"steps": ["INT", {"default": 4, "min": 1}],
                                             "sampler": [["lcm", "euler"], {}]}}}}


class Host(ThreadingHTTPServer):
    """Runs prompts in a thread of its own."""

    daemon_threads = True

    def __init__(self, port: int, log: Path, seconds: float) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.log, self.seconds, self.lost = log, seconds, False
        self.waiting: dict[str, Any] = {}
        self.history: dict[str, Any] = {}
        self.queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            prompt_id = self.queue.get()
            seed = next(node["inputs"]["seed"] for node in self.waiting[prompt_id].values()
                        if "seed" in node["inputs"])
            time.sleep(self.seconds)
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"{self.server_port} {prompt_id} {seed}\n")
            text = self.waiting[prompt_id]["3"]["inputs"]["text"]
            if text == "lose" and not self.lost:
                self.lost = True
                del self.waiting[prompt_id]
                continue
            if text == "fail":
                failed = {"node_type": "KSampler", "node_id": "2", "exception_type": "OutOfMemory",
                          "exception_message": "too large"}
                self.history[prompt_id] = {"outputs": {}, "status": {
                    "status_str": "error", "messages": [["execution_error", failed]]}}
                del self.waiting[prompt_id]
                continue
            saved = {"filename": f"video_{seed}_.mp4", "subfolder": "", "type": "output"}
            self.history[prompt_id] = {"outputs": {"1": {"images": [saved]}}, "status": {"status_str": "success"}}
            del self.waiting[prompt_id]


class Handler(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/object_info":
            self.send(NODES)
        elif parts.path == "/queue":
            self.send({"queue_running": [[1, name] for name in list(self.server.waiting)], "queue_pending": []})
        elif parts.path.startswith("/history/"):
            name = parts.path.rpartition("/")[2]
            self.send({name: self.server.history[name]} if name in self.server.history else {})
        elif parts.path == "/view":
            self.send(f"film of {parse_qs(parts.query)['filename'][0]}", "video/mp4")
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if urlsplit(self.path).path == "/prompt":
            self.server.waiting[body["prompt_id"]] = body["prompt"]
            self.server.queue.put(body["prompt_id"])
        self.send({"prompt_id": body.get("prompt_id"), "node_errors": {}})

    def send(self, found: Any, kind: str = "application/json") -> None:
        content = (found if isinstance(found, str) else json.dumps(found)).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *details: Any) -> None:
        pass


if __name__ == "__main__":
    Path(sys.argv[2]).with_suffix(f".{sys.argv[1]}.pid").write_text(str(os.getpid()))
    Host(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.01).serve_forever()

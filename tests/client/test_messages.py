"""Progress comes over the WebSocket, plain or encrypted; a run is followed to its end without it too."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from animatelcm.client.api import ComfyClient, Progress

CERTIFICATE = Path(__file__).with_name("self_signed.pem")
"""A certificate for 127.0.0.1 that signs itself, and its key; of use to nobody but these tests."""
PROMPT = {"1": {"class_type": "KSampler", "inputs": {}}}


class Stand:
    """A server whose prompt is done once its progress has been seen by the client, or at once if that has none."""

    def __init__(self, encrypted: bool, needs_messages: bool) -> None:
        self.encrypted = encrypted
        self.seen = not needs_messages
        self.connections: list[str] = []
        self.prompt_id = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Stand:
        self._thread.start()
        assert self._ready.wait(10.0)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._start())
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.add_routes([web.post("/prompt", self.prompt), web.get("/history/{name}", self.history),
                        web.get("/queue", self.queue), web.get("/ws", self.messages)])
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        context = None
        if self.encrypted:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http{'s' if self.encrypted else ''}://me:secret@127.0.0.1:{port}"
        self._ready.set()

    async def prompt(self, request: web.Request) -> web.Response:
        self.prompt_id = (await request.json())["prompt_id"]
        return web.json_response({"prompt_id": self.prompt_id, "node_errors": {}})

    async def queue(self, request: web.Request) -> web.Response:
        return web.json_response({"queue_running": [[1, self.prompt_id]], "queue_pending": []})

    async def history(self, request: web.Request) -> web.Response:
        entry = {"outputs": {}, "status": {"status_str": "success"}}
        return web.json_response({self.prompt_id: entry} if self.seen else {})

    async def messages(self, request: web.Request) -> web.WebSocketResponse:
        self.connections.append(request.headers["Authorization"])
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        if len(self.connections) == 1:
            # The first breaks off; the client is to come again.
            await connection.close()
            return connection
        await connection.send_bytes(b"\x00\x00\x00\x01picture")
        for text in ("no JSON", "[]", '{"type": "progress", "data": 3}', '{"type": "progress"}'):
            await connection.send_str(text)
        data = {"prompt_id": self.prompt_id, "node": "1", "max": 4}
        for other in ({"prompt_id": "other"}, {"node": "9"}, {"node": None}, {"value": "x"}, {"value": 3}):
            await connection.send_json({"type": "progress", "data": {"value": 1} | data | other})
        async for _ in connection:
            pass
        return connection


@pytest.fixture
def serve() -> Iterator[Callable[..., Stand]]:
    opened: list[Stand] = []

    def start(encrypted: bool = False, needs_messages: bool = True) -> Stand:
        opened.append(Stand(encrypted, needs_messages).__enter__())
        return opened[-1]

    yield start
    for stand in opened:
        stand.__exit__()


@pytest.mark.parametrize("encrypted", [False, True], ids=["http", "https"])
def test_progress_of_our_run_arrives_past_proxies(serve, monkeypatch: pytest.MonkeyPatch, encrypted: bool) -> None:
    for name in ("http_proxy", "https_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    monkeypatch.setattr("animatelcm.client.messages.RECONNECT_SECONDS", 0.01)
    stand = serve(encrypted)
    seen: list[Progress] = []

    def see(progress: Progress) -> None:
        seen.append(progress)
        stand.seen = True

    assert ComfyClient(stand.url, poll_seconds=0.05).run(PROMPT, on_progress=see) == {}
    assert seen == [Progress("KSampler", 3, 4)]
    assert set(stand.connections) == {"Basic bWU6c2VjcmV0"}


def test_without_aiohttp_the_run_is_followed_all_the_same(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    stand = serve(needs_messages=False)
    assert ComfyClient(stand.url, poll_seconds=0.01).run(PROMPT) == {}
    assert stand.connections == []


def test_a_certificate_that_is_not_trusted_is_said_so(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    stand = serve(encrypted=True)
    with pytest.raises(ConnectionError, match=r"certificate of https://127\.0\.0\.1:\d+ is not trusted: self.signed.*"
                                              "SSL_CERT_FILE"):
        ComfyClient(stand.url).run(PROMPT)


def test_a_server_that_speaks_the_other_protocol(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, encrypted = serve(), serve(encrypted=True)
    with pytest.raises(ConnectionError, match="does not speak HTTPS.*is it http://"):
        ComfyClient(plain.url.replace("http:", "https:")).object_info()
    with pytest.raises(ConnectionError):
        ComfyClient(encrypted.url.replace("https:", "http:"), retry_waits=()).object_info()

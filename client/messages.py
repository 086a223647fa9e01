"""The server's messages about a run, over its WebSocket. They only inform: how a run ends is asked for over HTTP.

They need aiohttp, which is in every ComfyUI's environment; without it none arrive.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import queue
import ssl
import threading
import time
from contextlib import suppress
from typing import Any

RECONNECT_SECONDS = 1.0


class Messages:
    """Listens while its `with` block runs.

    Args:
        url: The server's address, http:// or https://.
        headers: What each request carries, such as a password.
        client_id: The client whose prompts the messages are about.
    """

    def __init__(self, url: str, headers: dict[str, str], tls: ssl.SSLContext | None, client_id: str) -> None:
        self._url = f"{url}/ws?clientId={client_id}"
        self._headers = headers
        self._tls = tls
        self._arrived: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Messages:
        if importlib.util.find_spec("aiohttp") is not None:
            self._loop = asyncio.new_event_loop()
            self._task = self._loop.create_task(self._listen())
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._thread is not None:
            # A loop that has ended by itself is closed.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join()

    def receive(self, seconds: float) -> dict[str, Any]:
        """Return the next message, or an empty one when none came within so many seconds."""
        if self._thread is None:
            time.sleep(seconds)
            return {}
        try:
            return self._arrived.get(timeout=seconds)
        except queue.Empty:
            return {}

    def _run(self) -> None:
        try:
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._task)
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        import aiohttp

        async with aiohttp.ClientSession(headers=self._headers, trust_env=True) as session:
            while True:
                try:
                    async with session.ws_connect(self._url, ssl=self._tls or True, max_msg_size=0) as connection:
                        async for message in connection:
                            if message.type == aiohttp.WSMsgType.TEXT:
                                self._take(message.data)
                except (aiohttp.ClientError, OSError, asyncio.TimeoutError):
                    pass
                await asyncio.sleep(RECONNECT_SECONDS)

    def _take(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        if isinstance(message, dict) and isinstance(message.get("data"), dict):
            self._arrived.put(message)

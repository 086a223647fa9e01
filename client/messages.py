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

from .http import is_here

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
        self._listening: tuple[asyncio.Task[None], threading.Thread] | None = None

    def __enter__(self) -> Messages:
        if importlib.util.find_spec("aiohttp") is not None:
            task = asyncio.new_event_loop().create_task(self._listen())
            thread = threading.Thread(target=_run, args=(task,), daemon=True)
            self._listening = task, thread
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._listening is not None:
            task, thread = self._listening
            # A loop that has ended by itself is closed.
            with suppress(RuntimeError):
                task.get_loop().call_soon_threadsafe(task.cancel)
            thread.join()

    def receive(self, seconds: float) -> dict[str, Any]:
        """Return the next message, or an empty one when none came within so many seconds."""
        if self._listening is None:
            time.sleep(seconds)
            return {}
        try:
            return self._arrived.get(timeout=seconds)
        except queue.Empty:
            return {}

    async def _listen(self) -> None:
        import aiohttp

        # The proxy that the user has set is in the environment.
        by_proxy = not is_here(self._url)
        async with aiohttp.ClientSession(headers=self._headers, trust_env=by_proxy) as session:
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


def _run(task: asyncio.Task[None]) -> None:
    """Run the loop of a task until the task ends, and close it."""
    loop = task.get_loop()
    try:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
    finally:
        loop.close()

"""The reading half of a WebSocket [RFC 6455]: enough to follow a ComfyUI run without any dependency."""

from __future__ import annotations

import base64
import os
import socket
import struct
from urllib.parse import urlsplit

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


class ClosedError(ConnectionError):
    """The other side ended the connection."""


class WebSocket:
    """A connection to a ws:// address; text messages come out of `receive`, binary ones are passed over."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        address = urlsplit(url)
        if address.scheme != "ws" or not address.hostname:
            raise ValueError(f"expected an address like ws://127.0.0.1:8188/ws, got {url!r}")
        self._socket = socket.create_connection((address.hostname, address.port or 80), timeout)
        self._buffer = b""
        self._parts: list[bytes] = []
        self._kind = CONTINUATION
        try:
            self._shake_hands(address.netloc, address.path + ("?" + address.query if address.query else ""))
        except BaseException:
            self.close()
            raise

    def _shake_hands(self, host: str, target: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall((f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        status = head.split(b"\r\n", 1)[0].decode(errors="replace")
        if " 101 " not in status + " ":
            raise ConnectionError(f"the server refused the WebSocket: {status}")

    def receive(self, timeout: float) -> str | None:
        """Return the next text message, or None when none came within `timeout` seconds.

        Raises:
            ClosedError: The connection ended.
        """
        self._socket.settimeout(timeout)
        while True:
            try:
                kind, final, payload = self._frame()
            except TimeoutError:
                return None
            if kind == CLOSE:
                raise ClosedError("the server closed the connection")
            if kind == PING:
                self._send(PONG, payload)
            elif kind in (CONTINUATION, TEXT, BINARY):
                self._kind = kind or self._kind
                self._parts.append(payload)
                if final:
                    message, self._parts = b"".join(self._parts), []
                    if self._kind == TEXT:
                        return message.decode()

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()

    def _frame(self) -> tuple[int, bool, bytes]:
        """Take one frame off the buffer. A timeout leaves the buffer as it is, so nothing is lost or torn."""
        self._need(2)
        first, second = self._buffer[0], self._buffer[1]
        length, start = second & 0x7F, 2
        if length == 126:
            self._need(4)
            length, start = struct.unpack_from(">H", self._buffer, 2)[0], 4
        elif length == 127:
            self._need(10)
            length, start = struct.unpack_from(">Q", self._buffer, 2)[0], 10
        self._need(start + length)
        payload, self._buffer = self._buffer[start:start + length], self._buffer[start + length:]
        return first & 0x0F, bool(first & 0x80), payload

    def _need(self, size: int) -> None:
        while len(self._buffer) < size:
            self._fill()

    def _fill(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ClosedError("the server closed the connection")
        self._buffer += data

    def _send(self, kind: int, payload: bytes) -> None:
        # A control frame: at most 125 bytes, and masked, as all that a client sends must be.
        mask = os.urandom(4)
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self._socket.sendall(bytes((0x80 | kind, 0x80 | len(payload))) + mask + body)

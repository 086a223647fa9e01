"""Frames come out whole, however they arrive."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

import pytest
from animatelcm.client.websocket import ClosedError, WebSocket

Talk = Callable[[socket.socket], None]


def frame(kind: int, payload: bytes, final: bool = True) -> bytes:
    head = bytes([(0x80 if final else 0) | kind])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 65536:
        return head + b"\x7e" + struct.pack(">H", len(payload)) + payload
    return head + b"\x7f" + struct.pack(">Q", len(payload)) + payload


@pytest.fixture
def connect():
    """Serve one connection: answer the handshake, then do what the test says."""
    listener = socket.create_server(("127.0.0.1", 0))
    opened: list[WebSocket] = []

    def run(talk: Talk, status: bytes = b"101 Switching Protocols") -> WebSocket:
        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(4096)
                connection.sendall(b"HTTP/1.1 " + status + b"\r\nUpgrade: websocket\r\n\r\n")
                talk(connection)

        threading.Thread(target=serve, daemon=True).start()
        opened.append(WebSocket(f"ws://127.0.0.1:{listener.getsockname()[1]}/ws?clientId=x"))
        return opened[-1]

    yield run
    for web_socket in opened:
        web_socket.close()
    listener.close()


@pytest.mark.parametrize("size", [0, 5, 125, 126, 65535, 65536, 200_000])
def test_messages_of_every_length(connect, size: int) -> None:
    web_socket = connect(lambda c: c.sendall(frame(1, b"x" * size)))
    assert web_socket.receive(5.0) == "x" * size


def test_binary_messages_are_passed_over_and_parts_joined(connect) -> None:
    web_socket = connect(lambda c: c.sendall(
        frame(2, b"\x00picture") + frame(1, b"one, ", final=False) + frame(0, b"two") + frame(1, b"three")))
    assert [web_socket.receive(5.0), web_socket.receive(5.0)] == ["one, two", "three"]


def test_timeout_loses_nothing(connect) -> None:
    rest = threading.Event()

    def talk(connection: socket.socket) -> None:
        whole = frame(1, b"late but whole")
        connection.sendall(whole[:6])
        rest.wait(5.0)
        connection.sendall(whole[6:])

    web_socket = connect(talk)
    assert web_socket.receive(0.05) is None
    rest.set()
    assert web_socket.receive(5.0) == "late but whole"


def test_ping_is_answered(connect) -> None:
    answers: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        connection.sendall(frame(9, b"hello"))
        head, length, *rest = connection.recv(4096)
        mask, body = rest[:4], rest[4:]
        answers.append(bytes(byte ^ mask[i % 4] for i, byte in enumerate(body)))
        assert (head, length) == (0x8A, 0x80 | 5)
        connection.sendall(frame(1, b"done"))

    assert connect(talk).receive(5.0) == "done"
    assert answers == [b"hello"]


@pytest.mark.parametrize("last", [b"", frame(8, b"")])
def test_end_of_the_connection(connect, last: bytes) -> None:
    web_socket = connect(lambda c: c.sendall(last))
    with pytest.raises(ClosedError):
        web_socket.receive(5.0)


def test_refusal(connect) -> None:
    with pytest.raises(ConnectionError, match="403"):
        connect(lambda c: None, status=b"403 Forbidden")


def test_address_of_another_kind() -> None:
    with pytest.raises(ValueError, match="ws://"):
        WebSocket("http://127.0.0.1:1/ws")

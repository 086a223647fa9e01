"""Requests to one server over HTTP or HTTPS, repeated where that can help."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

RETRY_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try."""
TRANSIENT = (429, 500, 502, 503, 504)
TIMEOUT_SECONDS = 60.0


class RunError(RuntimeError):
    """The server refused a prompt or a request, gave an answer that makes no sense, or a run failed."""


class TransientError(ConnectionError):
    """No useful answer came, but one may come later: the server is busy, or the connection broke."""


class StatusError(RunError):
    """The server answered with an error status; `content` is its text."""

    def __init__(self, message: str, content: bytes) -> None:
        super().__init__(message)
        self.content = content


@dataclass(frozen=True)
class Answer:
    """The content of an answer, and its media type, such as video/mp4."""

    content: bytes
    media_type: str


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would turn a POST into a GET, and hand the password to another server."""

    def redirect_request(self, *details: Any) -> None:
        return None


def is_here(url: str) -> bool:
    """Say whether an address is of this machine itself, which no proxy reaches."""
    name = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    # 0.0.0.0 is what a server that listens to everybody names.
    return address.is_loopback or address.is_unspecified


def opener(url: str, *handlers: Any) -> urllib.request.OpenerDirector:
    """Return what opens an address: by the proxy that the user has set, and past it where it is of this machine."""
    past = [urllib.request.ProxyHandler({})] if is_here(url) else []
    return urllib.request.build_opener(*past, *handlers)


class HttpServer:
    """The address of one server.

    Args:
        url: Such as http://127.0.0.1:8188, or https://name:password@example.org/comfy.
        retry_waits: Seconds before each further try of a request.
        pause: Waits so many seconds; what it raises ends the request.

    Raises:
        ConnectionError: It is no such address.
    """

    def __init__(self, url: str, retry_waits: Sequence[float] = RETRY_WAITS,
                 pause: Callable[[float], None] = time.sleep) -> None:
        self.url, self.headers = _split_address(url)
        # Certificates of your own come from the variable SSL_CERT_FILE, as OpenSSL has it.
        self.tls = ssl.create_default_context() if self.url.startswith("https:") else None
        handlers = [urllib.request.HTTPSHandler(context=self.tls)] if self.tls else []
        self._opener = opener(self.url, *handlers, _NoRedirects)
        self._waits = tuple(retry_waits)
        self._pause = pause
        self._answered = False

    def json(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the JSON object at a path, or the answer to one that is posted there; see `get`."""
        return self.parse(path, self.get(path, body))

    def parse(self, path: str, answer: Answer) -> dict[str, Any]:
        """Return the JSON object that an answer holds.

        Raises:
            RunError: It holds none.
        """
        try:
            found = json.loads(answer.content)
        except (ValueError, RecursionError):
            page = " but a web page" if answer.media_type == "text/html" else f": {_start_of(answer.content)}"
            raise RunError(f"{self.url}{path} answered with no JSON{page}; is this the address of a ComfyUI?") from None
        if not isinstance(found, dict):
            raise RunError(f"{self.url}{path} answered with {_start_of(answer.content)}, expected a JSON object")
        return found

    def get(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        """GET a path, or POST a body that may safely arrive twice, and try again while that can help.

        Raises:
            RunError: The server refuses.
            ConnectionError: No whole answer came.
        """
        for wait in self._waits:
            try:
                return self.once(path, body)
            except TransientError:
                self._pause(wait)
        return self.once(path, body)

    def once(self, path: str, body: dict[str, Any] | None = None, timeout: float = TIMEOUT_SECONDS) -> Answer:
        """Do the same without a second try.

        Raises:
            TransientError: No whole answer came, or one that says that the server is in trouble.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = self.headers | ({"Content-Type": "application/json"} if data is not None else {})
        try:
            with self._opener.open(urllib.request.Request(self.url + path, data, headers), timeout=timeout) as answer:
                self._answered = True
                return Answer(answer.read(), answer.headers.get_content_type())
        except urllib.error.HTTPError as error:
            self._answered = True
            raise self._refusal(path, error) from None
        except urllib.error.URLError as error:
            raise self._no_answer(error.reason) from None
        except ValueError as error:
            raise ConnectionError(f"{self.url} is no address that can be reached: {error}") from None
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, http.client.BadStatusLine) and not isinstance(error, ConnectionError):
                raise ConnectionError(f"{self.url} does not speak HTTP; is it https://?") from None
            raise TransientError(f"the answer of {self.url} broke off: {error or type(error).__name__}") from None

    def _refusal(self, path: str, error: urllib.error.HTTPError) -> Exception:
        try:
            content = error.read()
        except (OSError, http.client.HTTPException):
            content = b""
        message = f"{self.url}{path} answered {error.code} {error.reason}: {_start_of(content)}"
        if error.code in TRANSIENT:
            return TransientError(message)
        if 300 <= error.code < 400:
            message = f"{self.url}{path} sends us on to {error.headers.get('Location')}; give that server's address"
        elif error.code == 401:
            message = f"{self.url} wants a name and a password: give the address as https://name:password@host"
        return StatusError(message, content)

    def _no_answer(self, reason: object) -> ConnectionError:
        if isinstance(reason, ssl.SSLCertVerificationError):
            return ConnectionError(f"the certificate of {self.url} is not trusted: {reason.verify_message}. If it is "
                                   "your own, name its file in the environment variable SSL_CERT_FILE")
        if isinstance(reason, ssl.SSLError) and not self._answered:
            return ConnectionError(f"{self.url} does not speak HTTPS as expected ({reason}); is it http://?")
        # A server that has answered before may be back soon; one that never did is not there.
        absent = isinstance(reason, (ConnectionRefusedError, socket.gaierror)) and not self._answered
        return (ConnectionError if absent else TransientError)(f"no ComfyUI answers at {self.url}: {reason}")


def _split_address(url: str) -> tuple[str, dict[str, str]]:
    """Return an address without name and password, and the header that carries them."""
    try:
        parts = urlsplit(url.rstrip("/"))
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or any(character.isspace() for character in url):
        raise ConnectionError(f"expected the server's address, such as http://127.0.0.1:8188, got {url!r}")
    name, at, host = parts.netloc.rpartition("@")
    secret = base64.b64encode(unquote(name).encode()).decode()
    return f"{parts.scheme}://{host}{parts.path}", {"Authorization": f"Basic {secret}"} if at else {}


def _start_of(content: bytes) -> str:
    return repr(content[:300].decode(errors="replace"))

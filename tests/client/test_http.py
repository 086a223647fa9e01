"""When a request is worth another try, and when it goes by a proxy."""

from __future__ import annotations

import pytest
from animatelcm.client.http import HttpServer, TransientError
from animatelcm.tests.client.stand import Stand

PROXIED = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "no_proxy", "NO_PROXY")


def test_a_server_that_has_answered_may_come_back_and_one_that_never_did_is_not_there(stand: Stand) -> None:
    known = HttpServer(stand.url, retry_waits=())
    known.json("/queue")
    stand.shutdown()
    stand.server_close()
    with pytest.raises(TransientError, match="no ComfyUI answers at"):
        known.json("/queue")
    with pytest.raises(ConnectionError, match="no ComfyUI answers at") as caught:
        HttpServer(stand.url, retry_waits=(60.0,)).json("/queue")
    assert not isinstance(caught.value, TransientError)


@pytest.fixture
def behind_a_proxy(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """The stand is the proxy of all addresses: what it is asked for begins with http://."""
    for name in PROXIED:
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, stand.url)
    return stand


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "comfy.localhost", "[::1]",
                                  "0.0.0.0"])
def test_this_machine_is_asked_past_proxies(behind_a_proxy: Stand, host: str) -> None:
    with pytest.raises(ConnectionError):
        HttpServer(f"http://{host}:9", retry_waits=()).json("/queue")
    assert behind_a_proxy.calls == []


def test_another_machine_is_asked_by_the_proxy_unless_the_user_excepts_it(behind_a_proxy: Stand,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    HttpServer("http://192.0.2.1:8188").json("/queue")
    assert [path for path, _ in behind_a_proxy.calls] == ["http://192.0.2.1:8188/queue"]
    monkeypatch.setenv("no_proxy", "example.invalid")
    with pytest.raises(ConnectionError):
        HttpServer("http://example.invalid:8188", retry_waits=()).json("/queue")
    assert len(behind_a_proxy.calls) == 1

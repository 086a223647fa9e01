"""When a request is worth another try."""

from __future__ import annotations

import pytest
from animatelcm.client.http import HttpServer, TransientError
from animatelcm.tests.client.stand import Stand


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

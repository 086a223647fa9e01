"""The graph that the tests of workflows begin with, and the server of those of the client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from animatelcm.tests.client.graphs import entry
from animatelcm.tests.client.stand import Stand


@pytest.fixture
def graph() -> dict[str, Any]:
    return {
        "nodes": [
            entry(1, "Loader", {}, ["MODEL", "CLIP"], ["b.safetensors"]),
            entry(2, "Pass", {"model": 1}, ["MODEL"], [0.5]),
            entry(3, "Text", {"clip": 2}, ["CONDITIONING"], ["a cat"]),
            entry(4, "Sampler", {"model": 3, "positive": 4}, ["LATENT"], [7, "randomize", 25, 3.0]),
            entry(5, "MarkdownNote", {}, [], ["read me"]),
        ],
        "links": [[1, 1, 0, 2, 0, "MODEL"], [2, 1, 1, 3, 0, "CLIP"], [3, 2, 0, 4, 0, "MODEL"],
                  [4, 3, 0, 4, 1, "CONDITIONING"]],
    }


@pytest.fixture
def stand() -> Iterator[Stand]:
    server = Stand()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()

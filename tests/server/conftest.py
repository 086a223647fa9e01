"""A real ComfyUI server with this pack in it, one for all tests of this folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from animatelcm.client.api import ComfyClient
from animatelcm.tools.hosts.hosts import version_of
from animatelcm.tools.hosts.server import PACK_NAME, Host, Server, make_base

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The running server; what it saves is below `server.log.parent`."""
    host = Path(os.environ["COMFYUI_PATH"]).resolve()
    base = make_base(tmp_path_factory.mktemp("server"), {PACK_NAME: ROOT}, ROOT / "example_workflows" / "input")
    with Server(Host(host, Path(sys.executable), version_of(host)), base) as running:
        yield running


@pytest.fixture
def client(server: Server) -> ComfyClient:
    """A client of the running server."""
    return ComfyClient(server.url)

"""A test beside a server that never ends by itself; test_processes.py runs it, and ends it from outside.

The variable PID_FILE names a file for the number of the server's process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from animatelcm.tests.tools.hosts.test_server import READY, server_of


@pytest.fixture(scope="session")
def pid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with server_of(tmp_path_factory.mktemp("server"), READY) as server:
        yield server.pid


def test_without_end(pid: int) -> None:
    file = Path(os.environ["PID_FILE"])
    file.with_suffix(".new").write_text(str(pid), encoding="utf-8")
    file.with_suffix(".new").rename(file)
    while True:
        time.sleep(0.1)

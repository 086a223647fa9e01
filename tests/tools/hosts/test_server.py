"""The server process: where its packs come from, and how it fails."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from animatelcm.tools.hosts.server import Host, Server, ServerError, free_port, is_ready, make_base

READY = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{"system": {}}')
port = int(sys.argv[sys.argv.index("--port") + 1])
print("PLACE", flush=True)
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def fake_host(tmp_path: Path, main: str) -> Host:
    folder = tmp_path / "host"
    folder.mkdir()
    (folder / "main.py").write_text(main, encoding="utf-8")
    return Host(folder, Path(sys.executable), "0.0.0")


def server_of(tmp_path: Path, main: str) -> Server:
    return Server(fake_host(tmp_path, main), make_base(tmp_path / "base", {}), extra=("--cpu",))


def test_server_is_up_inside_and_gone_after_past_proxies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    waits: list[float] = []
    server = server_of(tmp_path, READY)
    server._on_wait = waits.append
    with server:
        assert is_ready(server.url)
        assert "PLACE" in server.log_tail()
    assert not is_ready(server.url)
    assert waits == sorted(waits) != []


def test_server_is_gone_after_an_error(tmp_path: Path) -> None:
    server = server_of(tmp_path, READY)
    with pytest.raises(KeyboardInterrupt), server:
        raise KeyboardInterrupt
    assert not is_ready(server.url)


def test_server_that_dies_shows_its_log(tmp_path: Path) -> None:
    server = server_of(tmp_path, "raise SystemExit('out of luck')")
    with pytest.raises(ServerError, match=r"(?s)exit status 1.*out of luck"), server:
        pass


def test_pack_that_cannot_be_imported_is_an_error(tmp_path: Path) -> None:
    server = server_of(tmp_path, READY.replace("PLACE", "0.1 seconds (IMPORT FAILED): AnimateLCM"))
    with pytest.raises(ServerError, match="could not import"), server:
        pass
    assert not is_ready(server.url)


def test_base_holds_the_packs_asked_for_and_no_others(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for pack in (one, two):
        pack.mkdir()
        (pack / "__init__.py").write_text(pack.name, encoding="utf-8")
    base = make_base(tmp_path / "base", {"Pack": one, "Old": two})
    make_base(base, {"Pack": two})
    assert [entry.name for entry in (base / "custom_nodes").iterdir()] == ["Pack"]
    assert (base / "custom_nodes" / "Pack" / "__init__.py").read_text(encoding="utf-8") == "two"
    assert (one / "__init__.py").exists()
    assert (two / "__init__.py").exists()


def test_base_replaces_a_link_to_a_folder_that_is_gone(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    base = make_base(tmp_path / "base", {"Pack": pack})
    pack.rename(tmp_path / "moved")
    make_base(base, {"Pack": tmp_path / "moved"})
    assert (base / "custom_nodes" / "Pack").resolve() == tmp_path / "moved"


def test_base_gets_the_inputs_with_their_folders(tmp_path: Path) -> None:
    (tmp_path / "inputs" / "clips").mkdir(parents=True)
    (tmp_path / "inputs" / "clips" / "one.txt").write_text("a clip", encoding="utf-8")
    for _ in range(2):
        base = make_base(tmp_path / "base", {}, tmp_path / "inputs")
    assert (base / "input" / "clips" / "one.txt").read_text(encoding="utf-8") == "a clip"


def test_free_port_can_be_taken() -> None:
    with socket.create_server(("127.0.0.1", free_port())):
        pass


@pytest.fixture
def junctions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let this be Windows, whose junctions are symbolic links here; their folders are noted."""
    made: list[str] = []

    def create(folder: str, link: str) -> None:
        made.append(folder)
        Path(link).symlink_to(folder)

    monkeypatch.setitem(sys.modules, "_winapi", SimpleNamespace(CreateJunction=create))
    monkeypatch.setattr(sys, "platform", "win32")
    return made


@pytest.mark.skipif(sys.platform == "win32", reason="there the other tests are about junctions")
def test_on_windows_a_pack_is_linked_by_a_junction_whatever_its_path(tmp_path: Path, junctions: list[str]) -> None:
    """A symbolic link needs rights there, and the shell's mklink takes & and % in a path for its own."""
    pack = tmp_path / "R&D %TEMP%"
    pack.mkdir()
    assert (make_base(tmp_path / "base", {"Pack": pack}) / "custom_nodes" / "Pack").resolve() == pack
    assert junctions == [str(pack)]


@pytest.mark.skipif(sys.platform == "win32", reason="there the other tests are about junctions")
def test_on_windows_a_folder_in_place_of_a_junction_is_left(tmp_path: Path, junctions: list[str]) -> None:
    kept = tmp_path / "base" / "custom_nodes" / "theirs" / "nodes.py"
    kept.parent.mkdir(parents=True)
    kept.touch()
    # What a junction to a folder that is gone looks like: no file, no link, and rmdir takes it away.
    (kept.parents[1] / "Pack").mkdir()
    make_base(tmp_path / "base", {})
    assert [entry.name for entry in kept.parents[1].iterdir()] == ["theirs"] and kept.exists()

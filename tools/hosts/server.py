"""A ComfyUI server with this pack in it, as a child process that ends with its `with` block."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .processes import start, stop

PACK_NAME = "AnimateLCM"


class ServerError(RuntimeError):
    """The server did not start, or started without the pack."""


@dataclass(frozen=True)
class Host:
    """A ComfyUI folder and the Python that runs it."""

    path: Path
    python: Path
    version: str


def has_accelerator(python: Path) -> bool:
    """Say whether PyTorch finds a GPU that the host can use."""
    check = ("import sys; from torch import backends, cuda, xpu; "
             "sys.exit(not (cuda.is_available() or backends.mps.is_available() or xpu.is_available()))")
    return subprocess.run([str(python), "-c", check], stderr=subprocess.DEVNULL).returncode == 0


def free_port() -> int:
    """Return a loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_base(base: Path, packs: dict[str, Path], inputs: Path | None = None) -> Path:
    """Make the folder where a server keeps its files, with the packs, {name: folder}, linked into it, and no others.

    Args:
        inputs: Folder of pictures, clips and datasets that workflows load; they are copied.
    """
    for name in ("custom_nodes", "models", "input", "output", "temp", "user"):
        (base / name).mkdir(parents=True, exist_ok=True)
    links = base / "custom_nodes"
    for entry in links.iterdir():
        if entry.name not in packs or not entry.exists() or entry.resolve() != packs[entry.name].resolve():
            _remove_link(entry)
    for name, folder in packs.items():
        if not (links / name).exists():
            _link(links / name, folder.resolve())
    if inputs is not None:
        shutil.copytree(inputs, base / "input", dirs_exist_ok=True)
    return base


def _link(link: Path, folder: Path) -> None:
    if sys.platform == "win32":
        import _winapi

        # A junction, because a symbolic link needs administrator rights on Windows.
        _winapi.CreateJunction(str(folder), str(link))
    else:
        link.symlink_to(folder, target_is_directory=True)


def _remove_link(entry: Path) -> None:
    if entry.is_symlink():
        entry.unlink()
    elif sys.platform == "win32" and not entry.is_file():
        # Takes a junction away, also one whose folder is gone, and refuses a real folder that holds something.
        with suppress(OSError):
            entry.rmdir()


def arguments(host: Host, base: Path, port: int, extra: tuple[str, ...] = ()) -> list[str]:
    """Return the command that starts the host on a loopback port, on the CPU where there is no GPU."""
    command = [str(host.python), str(host.path / "main.py"), "--listen", "127.0.0.1", "--port", str(port),
               "--base-directory", str(base), "--database-url", "sqlite:///:memory:", "--disable-auto-launch",
               "--disable-api-nodes"]
    if "--cpu" not in extra and not has_accelerator(host.python):
        # The attention that the host would choose on a CPU is several times slower than PyTorch's.
        command += ["--cpu", "--use-pytorch-cross-attention"]
    return command + list(extra)


class Server:
    """A running server; use it as a context manager.

    Args:
        host: The ComfyUI to run.
        base: Its folder of files, see `make_base`.
        port: A loopback port; 0 takes a free one.
        extra: Further arguments for the host's main.py.
        on_wait: Called now and then with the seconds waited for the start.
    """

    def __init__(self, host: Host, base: Path, port: int = 0, extra: tuple[str, ...] = (),
                 on_wait: Callable[[float], None] = lambda seconds: None) -> None:
        self.host = host
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = base / f"server-{self.port}.log"
        self._command = arguments(host, base, self.port, extra)
        self._on_wait = on_wait
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        with self.log.open("wb") as log:
            self._process = start(self._command, log)
        try:
            self._wait_until_ready()
            self._check_imports()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Return the number of the running server's process."""
        if self._process is None:
            raise ServerError("the server has not been started")
        return self._process.pid

    def stop(self) -> None:
        """End the server, politely first."""
        if self._process is not None:
            stop(self._process)

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines that the server printed."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _wait_until_ready(self, limit: float = 300.0) -> None:
        started = time.monotonic()
        while (waited := time.monotonic() - started) < limit:
            self._on_wait(waited)
            status = self._process and self._process.poll()
            if status is not None:
                raise ServerError(f"ComfyUI stopped while starting (exit status {status}). "
                                  f"The end of {self.log}:\n{self.log_tail()}")
            if is_ready(self.url):
                return
            time.sleep(0.2)
        raise ServerError(f"ComfyUI did not answer within {limit:.0f} s. The end of {self.log}:\n{self.log_tail()}")

    def _check_imports(self) -> None:
        # The host reports a pack that cannot be imported in its log only, and runs on without it.
        text = self.log.read_text(encoding="utf-8", errors="replace")
        if "IMPORT FAILED" in text:
            raise ServerError(f"ComfyUI could not import a node pack. The end of {self.log}:\n{self.log_tail(80)}")


def is_ready(url: str) -> bool:
    """Say whether a ComfyUI answers at an address."""
    # Past the proxy that a user may have set: the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/system_stats", timeout=5) as answer:
            return "system" in json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return False

"""Load this pack outside of a running ComfyUI: for the tests, the benchmarks and the command lines.

The pack's folder must never be on `sys.path`: its `nodes/` would shadow the host's `nodes.py`.
So the folder is registered as a package named `animatelcm`, and the host's folder is put on the path instead.

    python standalone.py tools.demo.train --help      runs the module `animatelcm.tools.demo.train`
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import runpy
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent
PACKAGE = "animatelcm"
HOST_VARIABLE = "COMFYUI_PATH"
REPEATABLE = ("MKL_CBWR", "AUTO,STRICT")
"""MKL's variable, and the value with which its sums on several threads do not depend on where in memory they lie."""


def register(host: str | Path | None = None) -> ModuleType:
    """Make `animatelcm` importable from this folder, and the host importable from `host`.

    Args:
        host: ComfyUI's folder; by default the one that the environment variable COMFYUI_PATH names.

    Raises:
        FileNotFoundError: The folder is not a ComfyUI.
    """
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    # A run that is resumed has to end in the same bits. torch is not imported yet; MKL reads this at its first product.
    os.environ.setdefault(*REPEATABLE)
    host = host or os.environ.get(HOST_VARIABLE)
    if host is not None:
        _add_host(Path(host).resolve())
    if PACKAGE not in sys.modules:
        spec = importlib.machinery.ModuleSpec(PACKAGE, None, is_package=True)
        spec.submodule_search_locations = [str(ROOT)]
        sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    return sys.modules[PACKAGE]


def _add_host(host: Path) -> None:
    if not (host / "comfy" / "sd.py").is_file():
        raise FileNotFoundError(f"{host} is not a ComfyUI folder (comfy/sd.py is missing); set {HOST_VARIABLE} to one")
    if str(host) not in sys.path:
        sys.path.insert(0, str(host))
    # The host reads its options from sys.argv unless told otherwise, and asks for a GPU on import.
    from comfy.cli_args import args

    args.cpu = not has_accelerator()
    args.use_pytorch_cross_attention = True


def has_accelerator() -> bool:
    """Return whether there is a device, of whatever maker, that the host would compute on."""
    import torch

    kinds = (getattr(torch, name, None) for name in ("cuda", "xpu", "npu", "mlu"))
    return torch.backends.mps.is_available() or any(kind is not None and kind.is_available() for kind in kinds)


@contextmanager
def stopping(about: str = "") -> Generator[None, None, None]:
    """Let the signals that ask this program to end do what Ctrl-C does, and end it without a traceback.

    Whatever is under way sees a KeyboardInterrupt, once: a launcher that was interrupted too asks again at once, and a
    checkpoint that is being written then has to be finished. A second Ctrl-C is meant.

    Args:
        about: What to tell the user, beside which signal it was.
    """
    asked: list[int] = []

    def stop(number: int, frame: object) -> None:
        asked.append(number)
        if len(asked) == 1 or number == signal.SIGINT:
            raise KeyboardInterrupt(number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # A signal that is ignored, such as under nohup, stays ignored.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt as reason:
        number = reason.args[0] if reason.args else signal.SIGINT
        print(f"stopped by {signal.Signals(number).name}{about}", file=sys.stderr, flush=True)
        raise SystemExit(128 + number) from None


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    with stopping():
        register()
        module = sys.argv.pop(1)
        runpy.run_module(f"{PACKAGE}.{module}", run_name="__main__", alter_sys=True)

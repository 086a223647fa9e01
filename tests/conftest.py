"""Make the pack importable as `animatelcm`, with the host beside it."""

import importlib.util
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Most tests compare bits, and only the CPU gives the same ones on every machine and in every run.
os.environ["CUDA_VISIBLE_DEVICES"] = ""


def _register() -> None:
    spec = importlib.util.spec_from_file_location("standalone", ROOT / "standalone.py")
    standalone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(standalone)
    if not os.environ.get(standalone.HOST_VARIABLE):
        raise pytest.UsageError(f"run `python dev.py test`, or name a ComfyUI folder in {standalone.HOST_VARIABLE}")
    standalone.register()
    from comfy.cli_args import args

    args.cpu = True
    from animatelcm.tools.hosts.processes import stop_on_signals

    # pytest takes a SystemExit in a test for a failure and goes on; on an interrupt it ends, and its fixtures do too.
    stop_on_signals(KeyboardInterrupt)


_register()

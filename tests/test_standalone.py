"""Outside of a server the pack computes where the host would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from animatelcm import standalone
from comfy.cli_args import args


@pytest.fixture
def devices(monkeypatch):
    """No device but those that a test adds; the host's options are put back."""
    monkeypatch.setattr(args, "cpu", True)
    monkeypatch.setattr(args, "use_pytorch_cross_attention", args.use_pytorch_cross_attention)
    for kind in (torch.cuda, torch.xpu, torch.backends.mps):
        monkeypatch.setattr(kind, "is_available", lambda: False)
    return monkeypatch


@pytest.mark.parametrize("kind", [torch.cuda, torch.xpu, torch.backends.mps])
def test_a_device_of_any_maker_is_used(devices, kind):
    devices.setattr(kind, "is_available", lambda: True)
    standalone._add_host(Path(os.environ[standalone.HOST_VARIABLE]))
    assert args.cpu is False


def test_without_a_device_it_is_the_cpu(devices):
    devices.setattr(args, "cpu", False)
    standalone._add_host(Path(os.environ[standalone.HOST_VARIABLE]))
    assert args.cpu is True


TRAINS = """
import os, signal, sys
from contextlib import closing
import standalone
with standalone.stopping("; it goes on"):
    standalone.register()
    import torch
    from animatelcm.storage import atomic
    from animatelcm.training import checkpoints
    from animatelcm.training.config import LoopConfig
    from animatelcm.training.loop import train
    from animatelcm.tests.training.one_of_two import Path, stage
    save = checkpoints.save
    def asked_again(path, state):
        if state["step"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        save(path, state)
    checkpoints.save = asked_again
    with closing(train(stage(), LoopConfig(steps=9, learning_rate=1e-2), Path(sys.argv[1]))) as reports:
        for report in reports:
            if report.step == 3:
                os.kill(os.getpid(), int(sys.argv[2]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_training_that_is_asked_to_end_writes_its_checkpoint(tmp_path, number):
    """Also where it is asked again meanwhile, as by a launcher that Ctrl-C reaches too."""
    file = tmp_path / "run.pt"
    done = subprocess.run([sys.executable, "-c", TRAINS, str(file), str(int(number))], cwd=standalone.ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 128 + number, done.stderr
    assert done.stderr == f"stopped by {number.name}; it goes on\n"
    assert torch.load(file)["step"] == 3

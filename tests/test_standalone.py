"""Outside of a server the pack computes where the host would."""

from __future__ import annotations

import os
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

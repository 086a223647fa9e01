"""What most tests of the host work on: the tiny model and a motion module for it."""

from __future__ import annotations

import pytest
import torch
from animatelcm.host.motion import apply_motion
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host.probe import LENGTH, OVERLAP
from animatelcm.tests.host.training.training_data import short_runs
from animatelcm.tests.support import SCHEDULE, loaded_motion, tiny_model, with_windows


@pytest.fixture
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    return loaded_motion(tmp_path_factory.mktemp("motion"))


@pytest.fixture
def windowed(model, motion, request):
    """The MODEL with motion and windows, whose schedule a test names."""
    return with_windows(apply_motion(model, motion, 1.0, SCHEDULES[SCHEDULE]), LENGTH, OVERLAP, **request.param)


@pytest.fixture
def output(monkeypatch, tmp_path):
    """The host's output folder, for short trainings."""
    short_runs(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def as_in_a_node():
    """The host runs nodes in inference mode."""
    with torch.inference_mode():
        yield

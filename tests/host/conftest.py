"""What most tests of the host work on: the tiny model and a motion module for it."""

from __future__ import annotations

import pytest
from animatelcm.tests.support import loaded_motion, tiny_model


@pytest.fixture
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    return loaded_motion(tmp_path_factory.mktemp("motion"))

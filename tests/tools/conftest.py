"""What the tests of all tools share."""

from __future__ import annotations

import pytest
from animatelcm.host.training import runs


@pytest.fixture(scope="module", autouse=True)
def no_estimate():
    """Trainings are not preceded by an estimate of their memory, which takes longer than their few steps."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "check_memory", lambda stage, setting, report: None)
        yield

"""A MODEL with a motion module under ComfyUI's node TorchCompileModel."""

from __future__ import annotations

import torch
from animatelcm.host.motion import apply_motion
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests import support
from comfy_extras.nodes_torch_compile import TorchCompileModel
from torch._dynamo.utils import counters


def test_a_model_with_motion_compiles_into_one_graph(tmp_path):
    """What torch cannot follow would cut the network in pieces; the backend `eager` shows it in a tenth of the time."""
    model = apply_motion(support.tiny_model(), support.loaded_motion(tmp_path), 1.0, SCHEDULES[support.SCHEDULE])
    torch._dynamo.reset()
    counters.clear()
    result = support.run(TorchCompileModel.execute(model, "eager").result[0])
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 1
    torch.testing.assert_close(result, support.run(model), rtol=1e-3, atol=1e-3)

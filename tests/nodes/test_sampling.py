"""The nodes that give noise levels and the sampler: each socket is what it is called."""

import pytest
import torch
from animatelcm.host.folders import register_folders
from animatelcm.nodes import NODES
from animatelcm.nodes.sampling import Sampler, Scheduler
from animatelcm.tests.support import tiny_model
from comfy.samplers import simple_scheduler

register_folders()


@pytest.mark.parametrize(("steps", "denoise", "total"), [(4, 1.0, 4), (4, 0.5, 8), (8, 0.8, 10), (3, 0.0, 0)])
def test_the_noise_levels_are_the_last_ones_of_the_hosts_simple_scheduler(steps, denoise, total):
    model = tiny_model()
    found = Scheduler.execute(model, steps, denoise).result[0]
    whole = simple_scheduler(model.get_model_object("model_sampling"), total) if total else torch.empty(0)
    assert torch.equal(found, whole[-(steps + 1):])


def test_the_share_of_fresh_noise_reaches_the_sampler():
    """Without noise the sampler asks nobody for any: every seed gives the same."""
    for share in (0.0, 0.25, 1.0):
        assert Sampler.execute(share).result[0].extra_options == {"gamma": share, "curve": None}


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_a_text_that_may_stay_empty_makes_no_node_large(node):
    """It has one line, which all front ends show as such; curves are folded away where advanced inputs are."""
    texts = [socket for socket in node.define_schema().inputs if socket.io_type == "STRING" and socket.optional]
    assert not [socket.id for socket in texts if socket.multiline]
    assert not [socket.id for socket in texts if socket.id.endswith("_curve") and not socket.advanced]


def test_the_sampler_has_one_such_text():
    assert [socket.id for socket in Sampler.define_schema().inputs if socket.io_type == "STRING"] == [
        "stochasticity_curve"]

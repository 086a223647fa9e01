"""The nodes that give noise levels and the sampler: each socket is what it is called."""

from dataclasses import replace

import pytest
import torch
from animatelcm.host.folders import register_folders
from animatelcm.host.sampling import model_sampling_for
from animatelcm.nodes import NODES
from animatelcm.nodes.sampling import Sampler, Scheduler
from animatelcm.samplers.schedules import SCHEDULES, alphas_cumprod, phase_edges
from animatelcm.tests.host.sampling_routes import TEXT_TO_VIDEO, advanced, v_model, with_network
from animatelcm.tests.support import tiny_model
from animatelcm.training.consistency import Diffusion, phased_function
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
    """It has one line, which all front ends show as such; curves are folded away where advanced inputs are.

    A list of base models has a line for each, on a node that is large without it.
    """
    texts = [socket for socket in node.define_schema().inputs
             if socket.io_type == "STRING" and socket.optional and socket.id != "bases"]
    assert not [socket.id for socket in texts if socket.multiline]
    assert not [socket.id for socket in texts if socket.id.endswith("_curve") and not socket.advanced]


def test_the_sampler_has_one_such_text():
    assert [socket.id for socket in Sampler.define_schema().inputs if socket.io_type == "STRING"] == [
        "stochasticity_curve"]
PHASED = replace(SCHEDULES[TEXT_TO_VIDEO], phases=8)


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_a_module_that_was_trained_in_phases_is_sampled_from_edge_to_edge_without_fresh_noise(share):
    """Whatever stochasticity says; as DDIM, with the network's own prediction and no c_skip."""
    model = v_model()
    model.add_object_patch("model_sampling", model_sampling_for(model, PHASED))
    seen = []

    def network(x, timesteps):
        seen.append((int(timesteps[0]), x.clone()))
        return 0.3 * x

    result = advanced(with_network(model, network), 8, Sampler.execute(share).result[0])
    assert [timestep for timestep, _ in seen] == [999, *reversed(phase_edges(100, 8)[1:])]
    diffusion = Diffusion(alphas_cumprod(PHASED), "v")
    z = seen[0][1]
    for (timestep, met), edge in zip(seen, reversed(phase_edges(100, 8)), strict=True):
        torch.testing.assert_close(met, z, rtol=1e-4, atol=1e-4)
        at, to = (torch.full((len(z),), value) for value in (timestep, edge))
        z = phased_function(lambda z, t, c: 0.3 * z, met, at, to, None, diffusion)
    x0, _ = diffusion.x0_and_eps(0.3 * seen[-1][1], seen[-1][1], torch.full((len(z),), seen[-1][0]))
    torch.testing.assert_close(model.get_model_object("latent_format").process_in(result), x0, rtol=1e-4, atol=1e-4)


def test_others_are_sampled_as_it_is_set_and_so_is_a_phased_one_without_auto():
    for schedule, auto, fresh in ((SCHEDULES[TEXT_TO_VIDEO], True, True), (PHASED, False, True), (PHASED, True, False)):
        model = v_model()
        model.add_object_patch("model_sampling", model_sampling_for(model, schedule))
        asked = with_network(model, lambda x, timesteps: 0.3 * x)
        results = [advanced(asked, 4, Sampler.execute(share, auto=auto).result[0]) for share in (0.0, 1.0)]
        assert torch.equal(*results) is not fresh

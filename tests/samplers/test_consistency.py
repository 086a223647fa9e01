"""The boundary weights of the consistency function."""

import pytest
import torch
from animatelcm.samplers.consistency import boundary_scalings
from diffusers import LCMScheduler


def test_at_timestep_0_the_consistency_function_is_the_identity():
    c_skip, c_out = boundary_scalings(torch.zeros(2))
    z, x0 = torch.randn(2), torch.randn(2)
    assert torch.equal(c_skip * z + c_out * x0, z)


def test_scalings_equal_diffusers():
    timesteps = torch.arange(1000)
    c_skip, c_out = boundary_scalings(timesteps)
    expected_skip, expected_out = LCMScheduler().get_scalings_for_boundary_condition_discrete(timesteps)
    torch.testing.assert_close(c_skip, expected_skip)
    torch.testing.assert_close(c_out, expected_out)


def test_scalings_by_hand():
    c_skip, c_out = boundary_scalings(torch.tensor([3]), sigma_data=4.0, timestep_scaling=1.0)
    assert c_skip.item() == pytest.approx(16 / 25)
    assert c_out.item() == pytest.approx(3 / 5)


def test_a_negative_timestep_is_refused():
    with pytest.raises(ValueError, match="timestep -1 is negative"):
        boundary_scalings(torch.tensor([5, -1]))

"""The consistency function, and the conversions between what networks predict."""

import pytest
import torch
from animatelcm.tests.training import gaussian
from animatelcm.training.consistency import Diffusion, consistency_function


def noised(kind):
    diffusion = Diffusion(gaussian.DIFFUSION.alphas_cumprod, kind)
    x0, noise = gaussian.examples(6, 0).latents, gaussian.examples(6, 1).latents
    timesteps = torch.tensor([0, 9, 249, 499, 749, 999])
    alpha = diffusion.alpha(timesteps, x0)
    prediction = noise if kind == "eps" else alpha.sqrt() * noise - (1 - alpha).sqrt() * x0
    return diffusion, x0, noise, timesteps, prediction


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_true_predictions_give_back_the_latent_and_the_noise(kind):
    diffusion, x0, noise, timesteps, prediction = noised(kind)
    found = diffusion.x0_and_eps(prediction, diffusion.add_noise(x0, noise, timesteps), timesteps)
    torch.testing.assert_close(found[0].double(), x0, rtol=0, atol=1e-4)
    torch.testing.assert_close(found[1].double(), noise, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_at_timestep_0_the_consistency_function_is_the_identity(kind):
    diffusion = Diffusion(gaussian.DIFFUSION.alphas_cumprod, kind)
    z = torch.randn(3, 2, 4, 5, 5)
    f = consistency_function(lambda z, t, c: 100 * z, z, torch.zeros(3, dtype=torch.int64), z, diffusion)
    assert torch.equal(f, z)


def test_an_unknown_prediction_is_refused():
    with pytest.raises(ValueError, match="prediction is 'flow'; expected one of eps, v"):
        Diffusion(torch.ones(1000), "flow")

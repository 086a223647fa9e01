"""The consistency function of a network that predicts eps or v (Song et al. 2023; Luo et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..samplers.consistency import boundary_scalings

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From z (b ...), timesteps, (b,) or of the frames of clips (b, f), and context (b n d) to a prediction like z."""


def _x0_from_eps(z: Tensor, eps: Tensor, alpha: Tensor) -> Tensor:
    return (z - (1 - alpha).sqrt() * eps) / alpha.sqrt()


def _eps_from_eps(z: Tensor, eps: Tensor, alpha: Tensor) -> Tensor:
    return eps


def _x0_from_v(z: Tensor, v: Tensor, alpha: Tensor) -> Tensor:
    return alpha.sqrt() * z - (1 - alpha).sqrt() * v


def _eps_from_v(z: Tensor, v: Tensor, alpha: Tensor) -> Tensor:
    return alpha.sqrt() * v + (1 - alpha).sqrt() * z


CONVERSIONS = {"eps": (_x0_from_eps, _eps_from_eps), "v": (_x0_from_v, _eps_from_v)}
"""How x0 and eps follow from z, a prediction and alphas_cumprod (v: Salimans & Ho 2022)."""


@dataclass(frozen=True)
class Diffusion:
    """The noise schedule, and what the network predicts."""

    alphas_cumprod: Tensor
    """Share of signal variance left at every timestep, (1000,), on the device that trains."""
    prediction: str = "eps"
    """"eps" or "v"."""

    def __post_init__(self) -> None:
        if self.prediction not in CONVERSIONS:
            raise ValueError(f"prediction is {self.prediction!r}; expected one of {', '.join(CONVERSIONS)}")

    def alpha(self, timesteps: Tensor, like: Tensor) -> Tensor:
        """Return alphas_cumprod at `timesteps`, (b,) or (b, f), in float32 with as many axes as `like`."""
        return column(self.alphas_cumprod[timesteps].float(), like)

    def add_noise(self, x0: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return z_t = sqrt(a_t) x0 + sqrt(1 - a_t) eps (Ho et al. 2020)."""
        alpha = self.alpha(timesteps, x0)
        return alpha.sqrt() * x0 + (1 - alpha).sqrt() * noise

    def x0_and_eps(self, prediction: Tensor, z: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the clean latent and the noise that a network's prediction means, in float32."""
        x0, eps = CONVERSIONS[self.prediction]
        alpha, prediction, z = self.alpha(timesteps, z), prediction.float(), z.float()
        return x0(z, prediction, alpha), eps(z, prediction, alpha)


def consistency_function(network: Network, z: Tensor, timesteps: Tensor, context: Tensor, diffusion: Diffusion
                         ) -> Tensor:
    """Return f(z, t, c) = c_skip(t) z + c_out(t) x0(z, t, c) (Luo et al. 2023); f(z, 0, c) = z."""
    x0, _ = diffusion.x0_and_eps(network(z, timesteps, context), z, timesteps)
    c_skip, c_out = (column(c, z) for c in boundary_scalings(timesteps))
    return c_skip * z + c_out * x0


def phased_function(network: Network, z: Tensor, timesteps: Tensor, edges: Tensor, context: Tensor,
                    diffusion: Diffusion) -> Tensor:
    """Return F(z, t, c) = sqrt(a_s) x0(z, t, c) + sqrt(1 - a_s) eps(z, t, c), with s the lower edge of t's phase.

    F(z, s, c) = z. There is no c_skip: a jump of no length is the identity as it is (Wang et al. 2024, PCM).

    Args:
        edges: s, (b,), none above its timestep.
    """
    x0, eps = diffusion.x0_and_eps(network(z, timesteps, context), z, timesteps)
    return torch.where(column(timesteps == edges, z), z, diffusion.add_noise(x0, eps, edges))


def column(values: Tensor, like: Tensor) -> Tensor:
    """Return `values`, (b,) or (b, f), with as many axes as `like`, (b, 1, ...) or (b, f, 1, ...)."""
    return values.reshape(*values.shape, *[1] * (like.ndim - values.ndim))

"""One step down the probability flow, from t_{n+k} to t_n, with the teacher's guided prediction."""

from __future__ import annotations

from torch import Tensor

from .consistency import Diffusion, Network, column
from .draws import Draw


def guided_prediction(teacher: Network, z: Tensor, draw: Draw, empty: Tensor) -> Tensor:
    """Return (1 + w) teacher(z, t, c) - w teacher(z, t, empty) (Luo et al. 2023); the host's cfg is 1 + w.

    Without guidance it is the teacher's prediction, and the empty caption is not asked for.

    Args:
        empty: Context of the empty caption, 1 n d.
    """
    conditional = teacher(z, draw.timesteps, draw.context).float()
    if draw.w is None:
        return conditional
    unconditional = teacher(z, draw.timesteps, empty.expand(len(z), *empty.shape[1:])).float()
    return conditional + column(draw.w, z) * (conditional - unconditional)


def ddim_step(prediction: Tensor, z: Tensor, timesteps: Tensor, next_timesteps: Tensor, diffusion: Diffusion) -> Tensor:
    """Return z at `next_timesteps`, sqrt(a_n) x0 + sqrt(1 - a_n) eps, with the x0 and eps of `prediction` (Song et al.
    2021, DDIM)."""
    x0, eps = diffusion.x0_and_eps(prediction, z, timesteps)
    return diffusion.add_noise(x0, eps, next_timesteps)

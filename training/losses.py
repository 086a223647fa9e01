"""The consistency losses: with a teacher, and without one (Wang et al. 2024).

Student, target and teacher are callables; a loss knows no optimiser and no module. Gradients reach the student alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .consistency import Diffusion, Network, consistency_function
from .draws import Draw
from .solver import ddim_step, guided_prediction


def pseudo_huber(a: Tensor, b: Tensor, h: float) -> Tensor:
    """Return the mean over all elements of sqrt((a - b)^2 + h^2) - h (Luo et al. 2023, as in their code).

    Song & Dhariwal 2023, who introduced it, take the root of a whole sample's squared norm; the public constant 0.001
    belongs to the elementwise form.
    """
    difference = a.float() - b.float()
    # The same as sqrt(d^2 + h^2) - h, without the cancellation that eats small differences.
    return (difference.square() / ((difference.square() + h * h).sqrt() + h)).mean()


def distillation_loss(student: Network, target: Network, teacher: Network, draw: Draw, empty: Tensor,
                      diffusion: Diffusion, h: float) -> Tensor:
    """Return d(f_student(z_{n+k}, t_{n+k}), f_target(z_n, t_n)), with z_n by the guided teacher (Luo et al. 2023).

    Args:
        empty: Context of the empty caption, 1 n d, for the teacher's guidance.
        h: The pseudo-Huber constant.
    """
    z = diffusion.add_noise(draw.x0, draw.noise, draw.timesteps)
    with torch.no_grad():
        prediction = guided_prediction(teacher, z, draw, empty)
        z_next = ddim_step(prediction, z, draw.timesteps, draw.next_timesteps, diffusion)
    return _consistency_loss(student, target, z, z_next, draw, diffusion, h)


def teacher_free_loss(student: Network, target: Network, draw: Draw, diffusion: Diffusion, h: float) -> Tensor:
    """Return the loss with z_n made from the clean latent by the same noise that made z_{n+k} (Wang et al. 2024).

    The score is estimated by the sample itself, -eps / sqrt(1 - a_t): there is no teacher and no guidance.
    """
    z = diffusion.add_noise(draw.x0, draw.noise, draw.timesteps)
    z_next = diffusion.add_noise(draw.x0, draw.noise, draw.next_timesteps)
    return _consistency_loss(student, target, z, z_next, draw, diffusion, h)


def _consistency_loss(student: Network, target: Network, z: Tensor, z_next: Tensor, draw: Draw, diffusion: Diffusion,
                      h: float) -> Tensor:
    with torch.no_grad():
        aim = consistency_function(target, z_next, draw.next_timesteps, draw.context, diffusion)
    return pseudo_huber(consistency_function(student, z, draw.timesteps, draw.context, diffusion), aim, h)

"""The consistency losses: with a teacher, and without one (Wang et al. 2024).

Student, target and teacher are callables; a loss knows no optimiser and no module. Gradients reach the student alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .consistency import Diffusion, Network, consistency_function, phased_function
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


def distance(a: Tensor, b: Tensor, h: float, motion: float = 0.0) -> Tensor:
    """Return the pseudo-Huber distance, and `motion` times that of the differences of neighbouring frames.

    A blurred still costs the first term little; the second sees that nothing moves (Zhai et al. 2024).

    Args:
        a: b f c h w, where there is a motion term; otherwise of any shape.
        b: Like `a`.
    """
    apart = pseudo_huber(a, b, h)
    return apart + motion * pseudo_huber(a.diff(dim=1), b.diff(dim=1), h) if motion else apart


def distillation_loss(student: Network, target: Network, teacher: Network, draw: Draw, empty: Tensor,
                      diffusion: Diffusion, h: float, motion: float = 0.0) -> Tensor:
    """Return d(f_student(z_{n+k}, t_{n+k}), f_target(z_n, t_n)), with z_n by the guided teacher (Luo et al. 2023).

    Where the draw has edges, both f are the phased function to the edge of t_{n+k}'s phase (Wang et al. 2024, PCM).

    Args:
        empty: Context of the empty caption, 1 n d, for the teacher's guidance.
        h: The pseudo-Huber constant.
        motion: Weight of the differences of frames.
    """
    z = diffusion.add_noise(draw.x0, draw.noise, draw.timesteps)
    with torch.no_grad():
        prediction = guided_prediction(teacher, z, draw, empty)
        z_next = ddim_step(prediction, z, draw.timesteps, draw.next_timesteps, diffusion)
        aim = _function(target, z_next, draw.next_timesteps, draw, diffusion)
    return distance(_function(student, z, draw.timesteps, draw, diffusion), aim, h, motion)


def teacher_free_loss(student: Network, target: Network, draw: Draw, diffusion: Diffusion, h: float,
                      motion: float = 0.0) -> Tensor:
    """Return the loss with z_n made from the clean latent by the same noise that made z_{n+k} (Wang et al. 2024).

    The score is estimated by the sample itself, -eps / sqrt(1 - a_t): there is no teacher and no guidance.
    """
    z = diffusion.add_noise(draw.x0, draw.noise, draw.timesteps)
    with torch.no_grad():
        z_next = diffusion.add_noise(draw.x0, draw.noise, draw.next_timesteps)
        aim = _function(target, z_next, draw.next_timesteps, draw, diffusion)
    return distance(_function(student, z, draw.timesteps, draw, diffusion), aim, h, motion)


def _function(network: Network, z: Tensor, timesteps: Tensor, draw: Draw, diffusion: Diffusion) -> Tensor:
    if draw.edges is None:
        return consistency_function(network, z, timesteps, draw.context, diffusion)
    return phased_function(network, z, timesteps, draw.edges, draw.context, diffusion)

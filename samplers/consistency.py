"""The consistency function f(z, t) = c_skip(t) z + c_out(t) x0(z, t) (Song et al. 2023)."""

from __future__ import annotations

from torch import Tensor


def boundary_scalings(
    timestep: Tensor, sigma_data: float = 0.5, timestep_scaling: float = 10.0
) -> tuple[Tensor, Tensor]:
    """Return (c_skip, c_out), which make a consistency function the identity at timestep 0 (Luo et al. 2023).

    c_skip belongs to `z`, the latent in the DDPM scale; the host's own LCM class gives it to `x`, as if they were one.

    Args:
        timestep: Training timesteps, 0 to 999, shape (b,).
        sigma_data: The 0.5 of the latent consistency models; it is not the host's sigma_data, which is 1.
        timestep_scaling: Factor on `timestep`; a larger one narrows the region where c_skip is felt.

    Returns:
        c_skip and c_out, each of shape (b,), in float32.

    Raises:
        ValueError: A timestep is negative.
    """
    if (timestep < 0).any():
        raise ValueError(f"timestep {timestep.min().item()} is negative; expected 0 to 999")
    scaled = timestep.float() * timestep_scaling
    norm = scaled**2 + sigma_data**2
    return sigma_data**2 / norm, scaled / norm.sqrt()

"""Sizes that nodes declare and the host side computes with."""

LATENT_CELL = 8
"""Pixels along each side of a latent pixel of Stable Diffusion."""

"""The plain denoising objective: its loss, and the loop of a stage with a fixed number of steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ...training import loop
from ...training.config import LoopConfig
from ...training.trainer import Stage


def run_loop(name: str, stage: Stage, config: LoopConfig, folder: Path) -> list[float]:
    """Run a stage to its end, from its checkpoint in `folder` if there is one; return the losses of this session."""
    bar, smooth, losses = tqdm(total=config.steps, desc=name, mininterval=5), None, []
    with bar, closing(loop.train(stage, config, folder / f"{name}.pt")) as reports:
        for report in reports:
            smooth = report.loss if smooth is None else 0.98 * smooth + 0.02 * report.loss
            losses.append(report.loss)
            # A resumed run begins where it was; what came before counts for no pace.
            if len(losses) == 1:
                bar.n = bar.last_print_n = bar.initial = report.step - 1
            bar.set_postfix(loss=f"{smooth:.4f}", refresh=False)
            bar.update()
        if not losses:
            bar.n = config.steps
            bar.write(f"{name}: {loop.nothing_left(config)}")
    return losses


def recipe(steps: int, learning_rate: float, average: float = 0.999) -> LoopConfig:
    """Return how an addition is trained: the rate falls to zero, and the averaged weights are the result."""
    return LoopConfig(steps, learning_rate, rate="cosine", warmup=min(100, steps // 2), betas=(0.9, 0.99),
                      weight_decay=1e-3, precision="bfloat16", ema=average, ema_warmup=True)


def generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 10_000_019 + step)


def denoising_loss(network: Callable[[Tensor, Tensor, Tensor], Tensor], latent: Tensor, context: Tensor,
                   timesteps: Tensor, noise: Tensor, alphas_cumprod: Tensor, alike: bool = True,
                   hidden: Tensor | None = None) -> Tensor:
    """Mean squared error of the predicted v at `timesteps` (Salimans & Ho 2022), where the context is.

    What is drawn on the CPU, so that it is the same everywhere, goes to where the context is.

    Args:
        network: From z (b c h w), timesteps (b,) and context (b n d) to v.
        latent: Clean latents in the UNet's scale, (b, c, h, w).
        timesteps: Training timesteps, 0 to 999, (b,).
        alike: Whether an error counts over what it usually is at its timestep. Else the strongest noise gives most of
            the gradient of images: its error is ten times that of the middle, where the few-step model ends, and mostly
            chance (Karras et al. 2024 learn what is usual; here it is a curve through a finished model's errors).
        hidden: Where z is noise alone, (b,) of bool, as what a sampler begins with.
    """
    latent, timesteps, noise, alphas_cumprod = (
        tensor.to(context.device) for tensor in (latent, timesteps, noise, alphas_cumprod))
    alpha = alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    signal, sigma = alpha.sqrt(), (1 - alpha).sqrt()
    z, v = signal * latent + sigma * noise, signal * noise - sigma * latent
    if hidden is not None:
        # v is what leads from z to the clean latent, whether z shows any of it or not.
        blind = hidden.to(context.device).view(-1, 1, 1, 1)
        z, v = torch.where(blind, noise, z), torch.where(blind, (signal * noise - latent) / sigma, v)
    errors = (network(z, timesteps.float(), context).float() - v).square().mean((1, 2, 3))
    return (errors / (1 / 3 + 4 * (timesteps / 1000) ** 4) if alike else errors).mean()


def alphas_cumprod() -> Tensor:
    """Return AnimateDiff's schedule, linear in beta, for 1000 timesteps."""
    return (1 - torch.linspace(0.00085, 0.012, 1000, dtype=torch.float64)).cumprod(0).float()


ALPHAS_CUMPROD = alphas_cumprod()

"""The demo's ControlNet, which follows the outlines of a subject.

It is trained with the plain denoising objective on single frames, and knows nothing of few steps.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from ...demo.captions import caption
from ...demo.files import LAYOUT, TEXT, UNET
from ...demo.scenes import outline
from .additions import origin, train_addition, write_half
from .denoising import ALPHAS_CUMPROD, denoising_loss, generator
from .image_training import ImageModel
from .latent_cache import Cache
from .stages import Workspace


def layout_loss(controlled: nn.Module, image: ImageModel, cache: Cache, seed: int, step: int, batch: int = 16
                ) -> Tensor:
    """The denoising loss of single frames, whose outlines the ControlNet is shown.

    Half of the captions are left empty, so that it learns to see what an outline means (Zhang et al. 2023).

    Args:
        controlled: The image model's UNet with the ControlNet; it also takes the `hint`.
    """
    rng, random_numbers = random.Random(f"layout {seed} {step}"), generator(seed, step)
    indices = [rng.randrange(cache.source.count) for _ in range(batch)]
    hint = torch.cat([outline(cache.source.drawn(index)) for index in indices])
    captions = ["" if rng.random() < 0.5 else caption(cache.source.scene(index), rng) for index in indices]
    timesteps = torch.randint(0, 1000, (batch,), generator=random_numbers)
    context = image.context(captions)
    latent = cache.batch(indices, context.device)
    noise = torch.randn(latent.shape, generator=random_numbers)

    def denoise(z: Tensor, t: Tensor, c: Tensor) -> Tensor:
        return controlled(z, t, c, hint=hint.to(z))

    return denoising_loss(denoise, latent, context, timesteps, noise, ALPHAS_CUMPROD)


def train_layout(workspace: Workspace, steps: int) -> None:
    """Train a ControlNet to place the subject, with the finished image model frozen.

    The file holds whole weights, and is marked as an addition to a UNet: then the stock loader takes the number of
    heads from the MODEL, and not from its list of known sizes.
    """
    from ...demo.model import new_control_net
    from ...host.training.control_nets import ADDITION
    from ...host.training.network import Trainable, attending

    image, cache = workspace.image_model(), workspace.frames_of_scenes
    control_net = new_control_net(image.unet, workspace.seed).to(workspace.device).requires_grad_(True).train()
    controlled = Trainable(image.unet, control=attending(control_net))
    trained = train_addition(
        "layout", dict(control_net.named_parameters()),
        lambda step: layout_loss(controlled, image, cache, workspace.seed, step), steps, 1e-3,
        origin(workspace, UNET, TEXT), workspace)
    write_half(workspace, LAYOUT, {ADDITION: torch.zeros(0), **trained})

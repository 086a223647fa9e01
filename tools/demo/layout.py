"""Layouts: where an object is to be, as a ControlNet's hint; the demo's ControlNet; and how well a clip keeps to it.

The ControlNet is trained with the plain denoising objective on single frames, and knows nothing of few steps.
"""

from __future__ import annotations

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ...demo import world
from ...demo.files import LAYOUT, TEXT, UNET
from ...storage.atomic import replacing
from .denoising import (
    ALPHAS_CUMPROD,
    ImageModel,
    denoising_loss,
    device,
    finished_image_model,
    generator,
    latents_of,
    moments_of,
    recipe,
    scenes,
    train_network,
)
from .detector import masks
from .stages import Workspace


def layout_iou(clip: Tensor, hints: Tensor) -> Tensor:
    """Return how well each frame's object covers its silhouette: intersection over union, 0 to 1, (f,).

    Args:
        clip: (f, 3, h, w), values 0 to 1.
        hints: A silhouette for each frame, white on black, of the same shape.
    """
    wanted = hints[:, 0].cpu().numpy() > 0.5
    return torch.tensor([0.0 if seen is None else float((seen & there).sum() / (seen | there).sum())
                         for seen, there in zip(masks(clip), wanted, strict=True)])


def layout_loss(controlled: nn.Module, image: ImageModel, seed: int, step: int, batch: int = 16) -> Tensor:
    """The denoising loss of single frames, whose silhouettes the ControlNet is shown.

    Half of the captions are left empty, so that it learns to see what a silhouette means (Zhang et al. 2023).

    Args:
        controlled: The image model's UNet with the ControlNet; it also takes the `hint`.
    """
    chosen, rng = scenes(seed, step, batch)
    random_numbers = generator(seed, step)
    moments = moments_of(chosen, rng)
    latent = latents_of(torch.cat([world.draw(*moment) for moment in moments]))
    hint = torch.cat([world.hints(*moment) for moment in moments])
    captions = ["" if rng.random() < 0.5 else world.caption(scene, rng) for scene in chosen]
    timesteps = torch.randint(0, 1000, (batch,), generator=random_numbers)
    noise = torch.randn(latent.shape, generator=random_numbers)

    def denoise(z: Tensor, t: Tensor, c: Tensor) -> Tensor:
        return controlled(z, t, c, hint=hint.to(z))

    return denoising_loss(denoise, latent, image.context(captions), timesteps, noise, ALPHAS_CUMPROD)


def train_layout(workspace: Workspace, steps: int) -> None:
    """Train a ControlNet to place the object, with the finished image model frozen.

    The file holds whole weights, and is marked as an addition to a UNet: then the stock loader takes the number of
    heads from the MODEL, and not from its list of known sizes.
    """
    from ...demo import model as demo_model
    from ...host.training.control_nets import ADDITION
    from ...host.training.network import Trainable

    image = finished_image_model(workspace.weights)
    control_net = demo_model.new_control_net(image.unet, workspace.seed).to(device()).requires_grad_(True).train()
    controlled = Trainable(image.unet, control=control_net)
    trained = train_network("layout", control_net, lambda step: layout_loss(controlled, image, workspace.seed, step),
                            recipe(steps, 1e-3), workspace, UNET, TEXT)
    halved = {key: weight.half().contiguous() for key, weight in trained.items()}
    with replacing(workspace.model_file(LAYOUT)) as unfinished:
        save_file({ADDITION: torch.zeros(0), **halved}, unfinished)

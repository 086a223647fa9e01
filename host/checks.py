"""Whether what a run is given belongs together, found out before anything of it is loaded or computed."""

from __future__ import annotations

from comfy.samplers import CFGGuider
from torch import Size

from .prompts import check_prompts
from .windows import check_hints


def check_run(guider: CFGGuider, video: Size) -> None:
    """Check the latent, the context windows, and what the conditionings hold for each frame.

    Args:
        guider: The run's.
        video: Shape of its latents.

    Raises:
        ValueError: They do not fit the MODEL or one another.
    """
    _check_latent(video, guider.model_patcher.get_model_object("latent_format").latent_channels)
    _check_windows(guider.model_options.get("context_handler"))
    check_prompts(guider.conds, video[0])
    check_hints(guider.conds, video[0])


def _check_latent(video: Size, channels: int) -> None:
    if len(video) != 4 or video[1] != channels:
        raise ValueError(f"the latent has the shape {tuple(video)}, this MODEL takes (frames, {channels}, height, "
                         "width). It was made for another model: use Empty Latent Image, the latent of Image to Video, "
                         "or VAE Encode with the VAE of a Stable Diffusion 1.5 checkpoint")
    if not video[0]:
        raise ValueError("the latent has no frames. Give it at least one, as batch_size of Empty Latent Image or "
                         "num_frames of Image to Video; 16 is recommended")


def _check_windows(handler: object | None) -> None:
    """Refuse windows over height or width, which the host would cut without a word."""
    dim = getattr(handler, "dim", 0)
    if dim != 0:
        raise ValueError(f"the context windows cut dimension {dim} of the latent, but the frames of this MODEL are "
                         "dimension 0, the batch. Use the node Long Video, or Context Windows (Manual) with dim 0")

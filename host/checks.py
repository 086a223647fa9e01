"""Whether what a run is given belongs together, checked before anything of it is loaded or computed."""

from __future__ import annotations

from collections.abc import Iterator

from comfy.samplers import CFGGuider
from torch import Size, Tensor

from .control_strength import ControlOverFrames
from .masks import check_masks, check_noise_masks
from .prompts import check_prompts
from .windows import check_hints, controls_of

PER_CALL_PATCHES = {
    "SelfAttentionGuidance": ("Self-Attention Guidance", "Perturbed-Attention Guidance works in them"),
    "EasyCacheHolder": ("EasyCache", "LazyCache works in them"),
}
"""Patches of the host that take the last call of the UNet for the whole video, by what their parts are called: their
name, and what does the same in context windows."""


def check_run(guider: CFGGuider, video: Size, noise_mask: Tensor | None) -> None:
    """Check the latent, the context windows, and what the masks and conditionings hold for each frame.

    Args:
        guider: The run's.
        video: Shape of its latents.
        noise_mask: One for each frame, f c h w, or None.

    Raises:
        ValueError: They do not fit the MODEL or one another.
    """
    _check_latent(video, guider.model_patcher.get_model_object("latent_format").latent_channels)
    _check_windows(guider.model_options, video[0])
    check_prompts(guider.conds, video[0])
    check_hints(guider.conds, video[0])
    for control in controls_of(guider.conds.values()):
        if isinstance(control, ControlOverFrames):
            control.check(video[0])
    check_masks(guider.conds, video[0])
    check_noise_masks(noise_mask, video[0])


def _check_latent(video: Size, channels: int) -> None:
    if len(video) != 4 or video[1] != channels:
        raise ValueError(f"the latent has the shape {tuple(video)}, this MODEL takes (frames, {channels}, height, "
                         "width). It was made for another model: use Empty Latent Image, the latent of Image to Video, "
                         "or VAE Encode with the VAE of a Stable Diffusion 1.5 checkpoint")
    if not video[0]:
        raise ValueError("the latent has no frames. Give it at least one, as batch_size of Empty Latent Image or "
                         "num_frames of Image to Video; 16 is recommended")


def _check_windows(model_options: dict, num_frames: int) -> None:
    """Refuse windows over height or width, which the host would cut without a word, and patches that know no windows.
    """
    handler = model_options.get("context_handler")
    dim = getattr(handler, "dim", 0)
    if dim != 0:
        raise ValueError(f"the context windows cut dimension {dim} of the latent, but the frames of this MODEL are "
                         "dimension 0, the batch. Use the node Long Video, or Context Windows (Manual) with dim 0")
    if handler is None or num_frames <= handler.context_length:
        return
    for part in _parts(model_options):
        if part in PER_CALL_PATCHES:
            name, advice = PER_CALL_PATCHES[part]
            raise ValueError(f"{name} takes one call of the UNet for the whole video and does not work in context "
                             f"windows: the video has {num_frames} frames, a window {handler.context_length}. Take it "
                             f"off the MODEL ({advice}), or make the video no longer than a window")


def _parts(model_options: dict) -> Iterator[str]:
    """Yield the classes that patches of guidance and caching belong to."""
    for function in model_options.get("sampler_post_cfg_function", []):
        yield getattr(function, "__qualname__", "").partition(".")[0]
    yield type(model_options.get("transformer_options", {}).get("easycache")).__name__

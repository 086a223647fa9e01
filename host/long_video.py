"""Videos of more frames than a motion module knows: the host's context windows, set up as the modules need them."""

from __future__ import annotations

import comfy.context_windows as host_windows
from comfy.context_windows import ContextFuseMethods, ContextSchedules, IndexListContextHandler
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from .motion import networks_on
from .patchers import KEY


def long_video(model: ModelPatcher, context_length: int, context_overlap: int, loop: bool, freenoise: bool
               ) -> ModelPatcher:
    """Return a clone of `model` that samples a video in windows, which the host blends where they overlap.

    Args:
        context_length: Frames of a window.
        context_overlap: Frames that a window shares with the next one.
        loop: Let windows go on from the last frame to the first.
        freenoise: Start all windows from the same noise, in another order (FreeNoise, Qiu et al. 2023).

    Raises:
        ValueError: The MODEL has no motion module or has windows already, or the windows suit neither it nor each
            other.
    """
    _check(model, context_length, context_overlap)
    windowed = model.clone()
    schedule = ContextSchedules.UNIFORM_LOOPED if loop else ContextSchedules.STATIC_STANDARD
    windowed.model_options["context_handler"] = IndexListContextHandler(
        host_windows.get_matching_context_schedule(schedule),
        host_windows.get_matching_fuse_method(ContextFuseMethods.PYRAMID),
        context_length=context_length, context_overlap=context_overlap, closed_loop=loop, dim=0, freenoise=freenoise,
        # It would put one frame more into every window but the first, which would then start at another position.
        causal_window_fix=False)
    host_windows.create_prepare_sampling_wrapper(windowed)
    if freenoise:
        host_windows.create_sampler_sample_wrapper(windowed)
    if loop:
        windowed.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, f"{KEY}.loop", _check_loop)
    return windowed


def _check(model: ModelPatcher, context_length: int, context_overlap: int) -> None:
    networks = networks_on(model)
    if not networks:
        raise ValueError("this MODEL has no motion module, so its frames have nothing to do with one another. Put Long "
                         "Video after Text to Video, Image to Video or Apply Motion Module")
    if "context_handler" in model.model_options:
        raise ValueError("this MODEL has context windows already. Use one of Long Video and Context Windows (Manual)")
    if context_length < 2 or context_overlap < 0:
        raise ValueError(f"windows are to have {context_length} frames and share {context_overlap}; they have at least "
                         "2 and cannot share fewer than none. 16 and 4 are recommended")
    limit = min(network.config.max_frames for network in networks)
    if context_length > limit:
        raise ValueError(f"context_length is {context_length}, but the motion module knows at most {limit} frames. 16 "
                         "is recommended, which the modules were trained with")
    if context_overlap >= context_length:
        raise ValueError(f"windows of {context_length} frames cannot share {context_overlap}. Make context_overlap "
                         "smaller than context_length; a quarter of it is recommended")


def _check_loop(executor, noise: Tensor, *args, **kwargs) -> Tensor:
    """OUTER_SAMPLE wrapper: refuse a video that fits into one window, in which nothing joins its end to its start."""
    length = executor.class_obj.model_options["context_handler"].context_length
    if len(noise) <= length:
        raise ValueError(f"a loop needs more frames than a window: the video has {len(noise)}, context_length of Long "
                         f"Video is {length}. Make the video longer"
                         + (f", or set context_length to less, such as {len(noise) // 2}" if len(noise) > 3 else ""))
    return executor(noise, *args, **kwargs)

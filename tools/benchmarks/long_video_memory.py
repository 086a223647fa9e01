"""Measure that the memory of a long video is that of one window.

    python standalone.py tools.benchmarks.long_video_memory
    python standalone.py tools.benchmarks.long_video_memory --channels 320 --pixels 512

Samples videos of two lengths with the node Long Video, each in a process of its own, on a UNet and a motion module of
Stable Diffusion 1.5's layout with stand-in weights, by default of half its channels. Prints one JSON object: the peak
of a run's tensors beyond the loaded model, in MiB for each number of frames, and the ratio of the two. With --images
each frame has a reference image of its own.

What grows with the video are its latents, of which ComfyUI holds a few copies, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

import torch
from torch.profiler import ProfilerActivity, profile

from .bench import STANDALONE, UNET_CONFIG, build_model, stand_in_motion
from .fill import fill

FRAMES = (32, 128)


def own_need(frames: int, channels: int, pixels: int, images: bool) -> int:
    """Sample one step of a video in this process; return the bytes of its tensors at the peak."""
    import comfy.sample

    from ...host.long_video import long_video
    from ...host.motion import apply_motion

    latent = torch.zeros(frames, 4, pixels // 8, pixels // 8)
    conds = [[[torch.zeros(1, 77, UNET_CONFIG["context_dim"]), {}]] for _ in range(2)]
    model, motion = build_model(channels), stand_in_motion(channels)
    moving = with_images(model, motion, latent + 1) if images else apply_motion(model, motion, 1.0, None)
    windowed = long_video(moving, 16, 4, loop=False, freenoise=True)

    def run() -> None:
        with torch.inference_mode():
            comfy.sample.sample(windowed, torch.randn_like(latent), 1, 3.0, "euler", "normal", *conds, latent, seed=0,
                                disable_pbar=True)

    return tensor_peak(run)


def tensor_peak(run: Callable[[], object]) -> int:
    """Return the most bytes of tensors that there are at a time while `run` runs, beyond those before it.

    On a CPU they are counted one by one: the process's memory also holds what the allocator has not given back.
    """
    if torch.cuda.is_available():
        # Once before, which loads the model.
        run()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))


def with_images(model, motion, latents: torch.Tensor):
    """Return a clone of the MODEL with a motion module that follows a reference for each frame."""
    from ...host.image_to_video import apply_image_to_video
    from ...host.operations import operations
    from ...host.patchers import motion_patcher
    from ...motion.image_encoder import ImageEncoder

    encoder = fill(ImageEncoder(motion.config.channels, ops=operations), seed=3)
    animating = replace(motion, encoder=motion_patcher(encoder))
    return apply_image_to_video(model, animating, latents, 0.8, (1.0,) * 4, 1.0, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=160, help="of the UNet's finest level; 320 is the real size")
    parser.add_argument("--pixels", type=int, default=128, help="height and width of a frame")
    parser.add_argument("--images", action="store_true", help="give each frame a reference image")
    parser.add_argument("--own", type=int, metavar="FRAMES", help="measure this process's need and print it")
    chosen = parser.parse_args()
    if chosen.own:
        print(own_need(chosen.own, chosen.channels, chosen.pixels, chosen.images))
        return
    needs = {}
    for frames in FRAMES:
        command = [sys.executable, str(STANDALONE), "tools.benchmarks.long_video_memory", *sys.argv[1:],
                   "--own", str(frames)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        needs[frames] = int(output.split()[-1])
        print(f"{frames} frames: {needs[frames] / 2**20:.0f} MiB of tensors beyond the model", flush=True)
    print(json.dumps({"tensors_mib": {frames: round(need / 2**20) for frames, need in needs.items()},
                      "ratio": round(max(needs.values()) / min(needs.values()), 4),
                      "channels": chosen.channels, "pixels": chosen.pixels, "images": chosen.images}))


if __name__ == "__main__":
    main()

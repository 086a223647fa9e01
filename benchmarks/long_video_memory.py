"""Measure that the memory of a long video is that of one window.

    python standalone.py benchmarks.long_video_memory
    python standalone.py benchmarks.long_video_memory --channels 320 --pixels 512

Samples videos of two lengths with the node Long Video, each in a process of its own, on a UNet and a motion module of
Stable Diffusion 1.5's layout with stand-in weights, by default of half its channels. Prints one JSON object: what a run
needs at its peak beyond the loaded model, in MiB, for each number of frames, the ratio of the two, and that ratio for
the whole process. With --images each frame has a reference image of its own.

What grows with the video are its latents, of which ComfyUI holds a few copies, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace

import torch

from .bench import STANDALONE, UNET_CONFIG, build_model, peak_bytes, stand_in_motion
from .fill import fill

FRAMES = (32, 128)


def own_need(frames: int, channels: int, pixels: int, images: bool) -> tuple[int, int]:
    """Sample one step of a video in this process; return the bytes that it needs beyond the model, and in all."""
    import comfy.sample
    import psutil

    from ..host.long_video import long_video
    from ..host.motion import apply_motion

    latent = torch.zeros(frames, 4, pixels // 8, pixels // 8)
    conds = [[[torch.zeros(1, 77, UNET_CONFIG["context_dim"]), {}]] for _ in range(2)]
    model, motion = build_model(channels), stand_in_motion(channels)
    moving = with_images(model, motion, latent + 1) if images else apply_motion(model, motion, 1.0, None)
    windowed = long_video(moving, 16, 4, loop=False, freenoise=True)
    before = torch.cuda.memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss
    with torch.inference_mode():
        comfy.sample.sample(windowed, torch.randn_like(latent), 1, 3.0, "euler", "normal", *conds, latent, seed=0,
                            disable_pbar=True)
    return peak_bytes() - before, peak_bytes()


def with_images(model, motion, latents: torch.Tensor):
    """Return a clone of the MODEL with a motion module that follows a reference for each frame."""
    from ..host.image_to_video import apply_image_to_video
    from ..host.motion import motion_patcher
    from ..host.operations import operations
    from ..motion.image_encoder import ImageEncoder

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
        print(*own_need(chosen.own, chosen.channels, chosen.pixels, chosen.images))
        return
    needs, wholes = {}, {}
    for frames in FRAMES:
        command = [sys.executable, str(STANDALONE), "benchmarks.long_video_memory", *sys.argv[1:], "--own", str(frames)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        needs[frames], wholes[frames] = map(int, output.split()[-2:])
        print(f"{frames} frames: {needs[frames] / 2**20:.0f} MiB beyond the model", flush=True)
    print(json.dumps({"need_mib": {frames: round(need / 2**20) for frames, need in needs.items()},
                      "ratio": ratio(needs), "process_ratio": ratio(wholes), "channels": chosen.channels,
                      "pixels": chosen.pixels, "images": chosen.images}))


def ratio(bytes_by_frames: dict[int, int]) -> float:
    """Return the largest over the smallest."""
    return round(max(bytes_by_frames.values()) / min(bytes_by_frames.values()), 4)


if __name__ == "__main__":
    main()

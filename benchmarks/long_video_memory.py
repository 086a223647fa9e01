"""Measure that the memory of a long video is that of one window.

    python standalone.py benchmarks.long_video_memory

Samples videos of two lengths with the demo model and the node Long Video, each in a process of its own, and prints one
JSON object: what a run needs at its peak beyond the loaded model, in MiB, for each number of frames, and their ratio.
Only the latents themselves grow with the video: a few MiB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import torch

from .bench import STANDALONE, peak_bytes

FRAMES = (32, 128)
LATENT = 16
"""Height and width of the latents."""


def own_need(frames: int) -> int:
    """Sample one step of a video in this process; return the bytes that it needs at its peak."""
    import comfy.sample
    import psutil

    from ..demo.vocabulary import CONTEXT_DIM
    from ..host.folders import EMBEDDED, motion_path
    from ..host.long_video import long_video
    from ..host.motion import apply_motion, load_motion
    from ..host.tiny import load_demo_model

    model = long_video(apply_motion(load_demo_model()[0], load_motion(motion_path(EMBEDDED)), 1.0, None),
                       16, 4, loop=False, freenoise=True)
    latent = torch.zeros(frames, 4, LATENT, LATENT)
    conds = [[[torch.zeros(1, 8, CONTEXT_DIM), {}]] for _ in range(2)]
    before = torch.cuda.memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss
    with torch.inference_mode():
        comfy.sample.sample(model, torch.randn_like(latent), 1, 3.0, "euler", "normal", *conds, latent, seed=0,
                            disable_pbar=True)
    return peak_bytes() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--own", type=int, metavar="FRAMES", help="measure this process's need and print it")
    arguments = parser.parse_args()
    if arguments.own:
        print(own_need(arguments.own))
        return
    needs = {}
    for frames in FRAMES:
        command = [sys.executable, str(STANDALONE), "benchmarks.long_video_memory", "--own", str(frames)]
        needs[frames] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        print(f"{frames} frames: {needs[frames] / 2**20:.0f} MiB", flush=True)
    print(json.dumps({"need_mib": {frames: round(need / 2**20) for frames, need in needs.items()},
                      "ratio": round(max(needs.values()) / min(needs.values()), 4)}))


if __name__ == "__main__":
    main()

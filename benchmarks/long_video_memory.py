"""Measure that the memory of a long video is that of one window.

    python standalone.py benchmarks.long_video_memory

Samples videos of several lengths with the node Long Video at Stable Diffusion 1.5's size, each in a process of its own,
and prints one JSON object: the peak memory of each length in MiB, and the largest over the smallest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from .bench import STANDALONE, build_model, peak_bytes, step, with_motion

FRAMES = (32, 128)
PIXELS = 64


def own_peak(frames: int) -> int:
    """Run one step of a video in this process and return its peak memory in bytes."""
    from ..host.long_video import long_video

    step(long_video(with_motion(build_model()), 16, 4, loop=False, freenoise=True), 1.0, frames, PIXELS)
    return peak_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peak", type=int, metavar="FRAMES", help="measure this process's peak memory and print it")
    arguments = parser.parse_args()
    if arguments.peak:
        print(own_peak(arguments.peak))
        return
    peaks = {}
    for frames in FRAMES:
        command = [sys.executable, str(STANDALONE), "benchmarks.long_video_memory", "--peak", str(frames)]
        peaks[frames] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        print(f"{frames} frames: {peaks[frames] / 2**20:.0f} MiB", flush=True)
    print(json.dumps({"peak_mib": {frames: round(peak / 2**20) for frames, peak in peaks.items()},
                      "ratio": round(max(peaks.values()) / min(peaks.values()), 4)}))


if __name__ == "__main__":
    main()

"""Measure that a recorded video needs the memory of a window, however long it is.

    python dev.py recording-memory
    python dev.py recording-memory --frames 16 10000

Records videos of the demo model with the node Record Video, each on a server of its own, and prints the most memory
that the server's process has had (Linux only). The last line is one JSON object; the exit status is 1 where the longest
video takes more than --limit times the memory of the shortest.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from tqdm import tqdm

from ...client.api import ComfyClient, Progress, saved_files
from ...client.workflow import load, to_prompt
from ..hosts.environment import work_path
from ..hosts.hosts import version_of
from ..hosts.processes import stop_on_signals
from ..hosts.server import PACK_NAME, Host, Server, make_base
from .demo_prompts import DEMO_NODE
from .gallery import EXAMPLES, INPUTS, ROOT

NODE = "AnimateLCM_RecordVideo"
FRAMES, LIMIT = (16, 400, 1000), 1.1


def example() -> Path:
    """Return the example workflow that records a video of the demo model."""
    return next(path for path in sorted(EXAMPLES.glob("*.json"))
                if all(node in path.read_text(encoding="utf-8") for node in (NODE, DEMO_NODE)))


def of_length(prompt: dict, frames: int) -> dict:
    """Return a prompt in which the recorded video has so many frames."""
    return {key: node | {"inputs": node["inputs"] | {"num_frames": frames}} if node["class_type"] == NODE else node
            for key, node in prompt.items()}


def peak_memory(process: int) -> int:
    """Return the most bytes that a process has had in memory since it began.

    Raises:
        OSError: There is no such process, or the system is no Linux.
    """
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def record(server: Server, frames: int) -> float:
    """Record a video on a server; return the seconds that it took."""
    client = ComfyClient(server.url)
    prompt = of_length(to_prompt(load(example()), client.object_info()), frames)
    with tqdm(desc=f"{frames} frames", unit=" calls", mininterval=5) as bar:
        def show(progress: Progress) -> None:
            if progress.node_type == NODE:
                bar.total, bar.n = progress.steps, progress.step
                bar.refresh()

        begun = time.monotonic()
        outputs = client.run(prompt, on_progress=show)
    if not saved_files(outputs):
        raise SystemExit("the run saved no video")
    return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py recording-memory", description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=list(FRAMES), help="lengths of the videos")
    parser.add_argument("--limit", type=float, default=LIMIT, help="for the ratio of longest and shortest")
    chosen = parser.parse_args()
    stop_on_signals()
    host = Path(os.environ["COMFYUI_PATH"]).resolve()
    base = make_base(work_path() / "recording-memory", {PACK_NAME: ROOT}, INPUTS)
    peaks, seconds = {}, {}
    for frames in sorted(chosen.frames):
        with Server(Host(host, Path(sys.executable), version_of(host)), base) as server:
            seconds[frames] = round(record(server, frames), 1)
            peaks[frames] = peak_memory(server.pid)
        print(f"{frames} frames: {peaks[frames] / 1e6:.0f} MB at the peak, {seconds[frames]:.0f} s", flush=True)
    ratio = peaks[max(peaks)] / peaks[min(peaks)]
    print(json.dumps({"peak_mb": {frames: round(peak / 1e6) for frames, peak in peaks.items()}, "seconds": seconds,
                      "ratio": round(ratio, 4), "limit": chosen.limit}))
    sys.exit(ratio > chosen.limit)


if __name__ == "__main__":
    main()

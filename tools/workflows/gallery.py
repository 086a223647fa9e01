"""Run every example workflow on a real server, and leave a contact sheet and a thumbnail of each.

    python dev.py gallery [NAME ...] [--seed N]

Workflows of the demo model run as they are. Those for real checkpoints run with seeded stand-ins for the files
(benchmarks.standins, 4.5 GB, written once) on few small frames: that shows that they run, but their pictures show
nothing, so no sheet is kept. Those that train leave no picture; run again, they find their checkpoints finished. The last line is one JSON object, {workflow: seconds, or what went wrong}.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ...client.api import ComfyClient, Progress, RunError, saved_files
from ...client.workflow import WorkflowError, load, set_seed, to_prompt
from ..hosts.environment import work_path
from ..hosts.hosts import version_of
from ..hosts.server import PACK_NAME, Host, Server, make_base, stop_on_signals
from . import full_size
from .contact_sheet import frames_of, sheet_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "example_workflows"
INPUTS = EXAMPLES / "input"
"""Pictures and clips that the examples load; a user puts them into ComfyUI's input folder."""
SHEETS = ROOT / "docs" / "gallery"
DEMO_NODE = "AnimateLCM_LoadDemoModel"
STAND_IN_FRAMES, STAND_IN_SIZE = 4, 64
THUMBNAIL = 4
"""Frames side by side on a thumbnail."""


def run(client: ComfyClient, prompt: dict, seed: int | None, show_progress: tqdm) -> Path | None:
    """Run a prompt and return its video, a file that the caller owns; None where it is not to save one.

    Raises:
        RunError: The run failed, or saved no video.
    """
    if seed is not None:
        set_seed(prompt, seed)

    def show(progress: Progress) -> None:
        show_progress.set_postfix_str(f"{progress.node_type} {progress.step}/{progress.steps}")

    videos = [entry for entry in saved_files(client.run(prompt, on_progress=show))
              if Path(entry["filename"]).suffix in (".mp4", ".webm")]
    if not videos:
        if any(node["class_type"] in ("SaveVideo", "AnimateLCM_RecordVideo") for node in prompt.values()):
            raise RunError("the workflow saved no video")
        return None
    folder = Path(tempfile.mkdtemp())
    return client.download(videos[-1], folder / videos[-1]["filename"])


def keep_pictures(name: str, video: Path) -> None:
    """Write the contact sheet of a workflow, and the thumbnail that the front end shows beside its name."""
    frames = frames_of(video)
    SHEETS.mkdir(parents=True, exist_ok=True)
    sheet_of(frames).save(SHEETS / f"{name}.png", optimize=True)
    chosen = [frames[round(i * (len(frames) - 1) / (THUMBNAIL - 1))] for i in range(THUMBNAIL)]
    width, height = chosen[0].size
    strip = Image.new("RGB", (THUMBNAIL * width, height))
    for i, frame in enumerate(chosen):
        strip.paste(frame, (i * width, 0))
    strip.save(EXAMPLES / f"{name}.jpg", quality=88)


def run_example(client: ComfyClient, path: Path, seed: int | None, bar: tqdm) -> float | str:
    """Run one example; return the seconds that it took, or what went wrong."""
    started = time.monotonic()
    try:
        prompt = to_prompt(load(path), client.object_info())
        demo = any(node["class_type"] == DEMO_NODE for node in prompt.values())
        if not demo:
            full_size.shrink(prompt, STAND_IN_FRAMES, STAND_IN_SIZE)
        video = run(client, prompt, seed, bar)
    except (RunError, WorkflowError) as error:
        return str(error)
    seconds = round(time.monotonic() - started, 1)
    if video is not None:
        if demo:
            keep_pictures(path.stem, video)
        shutil.rmtree(video.parent)
    return seconds


def main() -> None:
    """Run the examples and say how each went."""
    known = {path.stem: path for path in sorted(EXAMPLES.glob("*.json"))}
    parser = argparse.ArgumentParser(prog="dev.py gallery", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--seed", type=int, help="in place of the seeds in the files")
    options = parser.parse_args()
    stop_on_signals()
    if unknown := set(options.names) - set(known):
        parser.error(f"no example workflow is named {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    # Their numbers put those that train before the one that samples with what they have saved.
    names = sorted(options.names or known)
    host = Path(os.environ["COMFYUI_PATH"]).resolve()
    stand_ins = any(DEMO_NODE not in known[name].read_text(encoding="utf-8") for name in names)
    base = full_size.base_with_stand_ins(host) if stand_ins else work_path() / "gallery"
    make_base(base, {PACK_NAME: ROOT}, INPUTS)
    with Server(Host(host, Path(sys.executable), version_of(host)), base) as server:
        client, results = ComfyClient(server.url), {}
        for name in (bar := tqdm(names, desc="examples")):
            bar.set_description(name)
            results[name] = run_example(client, known[name], options.seed, bar)
    print(json.dumps(results))
    sys.exit(any(isinstance(result, str) for result in results.values()))


if __name__ == "__main__":
    main()

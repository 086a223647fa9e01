"""Run every example workflow on a real server, and leave a contact sheet and a moving thumbnail of each.

    python dev.py gallery [NAME ...] [--seed N] [--anew]

Workflows of the demo model run as they are. Those for real checkpoints run with seeded stand-ins for the files
(benchmarks.standins, 4.5 GB, written once) on few small frames: that shows that they run, but their pictures show
nothing, so their thumbnails are those of the same graph with the demo model. Those that train show the last one's clip
before and after them; run again, they find their checkpoints finished, unless with `--anew`, which a new demo model
needs. What a thumbnail is made of is run too. The last line is one JSON object, {workflow: seconds, or its error}.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ...client.api import ComfyClient, Progress, RunError, saved_files
from ...client.workflow import WorkflowError, load, set_input, set_seed, to_prompt
from ..hosts.environment import work_path
from ..hosts.hosts import version_of
from ..hosts.processes import stop_on_signals
from ..hosts.server import PACK_NAME, Host, Server, make_base
from . import full_size
from .contact_sheet import sheet_of
from .demo_prompts import DEMO_NODE
from .thumbnails import QUALITY, before_and_after, read_frames, save_thumbnail

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "example_workflows"
INPUTS = EXAMPLES / "input"
"""Pictures and clips that the examples load; a user puts them into ComfyUI's input folder."""
SHEETS = ROOT / "docs" / "gallery"
STAND_IN_FRAMES, STAND_IN_SIZE = 4, 64
SAME_GRAPH = {"01 Text to Video": "03 Text to Video Demo", "02 Image to Video": "04 Image to Video Demo"}
"""Whose pictures workflows for real checkpoints show."""
TRAINED = "21 Sample Trained Files Demo"
NO_LORA: dict[str, object] = {"LoraLoaderModelOnly.strength_model": 0.0}
OLD_MODULE: dict[str, object] = {"AnimateLCM_LoadMotionModule.motion_file": "demo (embedded)"}
STAGES: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "19 Train Spatial LoRA Demo": (NO_LORA | OLD_MODULE, OLD_MODULE),
    "20 Train Motion Module Demo": (OLD_MODULE, {}),
}
"""What `TRAINED` is to sample with before and after each workflow that trains, as changes of its inputs."""
CLIPS = (".mp4", ".webm", ".webp")
Frames = list[Image.Image]


def frames_of_run(client: ComfyClient, prompt: dict, show: Callable[[Progress], None],
                  suffixes: Collection[str] = CLIPS) -> Frames:
    """Run a prompt; return the frames of the last file that it saves with one of the suffixes, none where it does not.

    Raises:
        RunError: The run failed.
    """
    files = [entry for entry in saved_files(client.run(prompt, on_progress=show))
             if Path(entry["filename"]).suffix in suffixes]
    if not files:
        return []
    with tempfile.TemporaryDirectory() as folder:
        return read_frames(client.download(files[-1], Path(folder) / files[-1]["filename"]))


class Gallery:
    """A server that runs examples, and the frames that they gave, {name: frames}."""

    def __init__(self, client: ComfyClient, seed: int | None, bar: tqdm) -> None:
        self.frames: dict[str, Frames] = {}
        self._client, self._seed, self._bar = client, seed, bar

    def run(self, name: str, changes: dict[str, object] | None = None) -> Frames:
        """Run an example, with other values of some inputs; return its frames, none where it trains.

        Raises:
            RunError: The run failed, or saved no clip.
        """
        prompt = to_prompt(load(EXAMPLES / f"{name}.json"), self._client.object_info())
        if not any(node["class_type"] == DEMO_NODE for node in prompt.values()):
            full_size.shrink(prompt, STAND_IN_FRAMES, STAND_IN_SIZE)
        if self._seed is not None:
            set_seed(prompt, self._seed)
        for place, value in (changes or {}).items():
            set_input(prompt, place, value)

        def show(progress: Progress) -> None:
            self._bar.set_postfix_str(f"{progress.node_type} {progress.step}/{progress.steps}")

        frames = frames_of_run(self._client, prompt, show)
        if not frames and name not in STAGES:
            raise RunError("the workflow saved no clip")
        return frames

    def keep(self, name: str) -> None:
        """Write the thumbnail of an example that has run, and its contact sheet where the clip is its own.

        Raises:
            RunError: What it is made of did not run.
        """
        if name in STAGES:
            frames = before_and_after(*(self.run(TRAINED, changes) for changes in STAGES[name]))
        else:
            source = SAME_GRAPH.get(name, name)
            if source not in self.frames:
                raise RunError(f"it ran, but has no thumbnail, because {source!r} did not run")
            frames = self.frames[source]
        save_thumbnail(frames, EXAMPLES / f"{name}.jpg")
        if name not in SAME_GRAPH:
            SHEETS.mkdir(parents=True, exist_ok=True)
            sheet_of(frames).save(SHEETS / f"{name}.webp", quality=QUALITY, method=6)

    def attempt(self, name: str) -> float | str:
        """Run an example and keep its pictures; return the seconds that it took, or what went wrong."""
        started = time.monotonic()
        try:
            self.frames[name] = self.run(name)
            seconds = round(time.monotonic() - started, 1)
            # What trainings have changed is seen when both have run.
            for kept in (*STAGES, TRAINED) if name == TRAINED else () if name in STAGES else (name,):
                self.keep(kept)
        except (RunError, WorkflowError, ValueError) as error:
            return str(error)
        return seconds


def order_of(chosen: list[str]) -> list[str]:
    """Return what to run, sources of pictures before those that show them, training before what samples its files."""
    wanted = set(chosen) | {SAME_GRAPH[name] for name in chosen if name in SAME_GRAPH}
    if wanted & STAGES.keys():
        wanted |= {*STAGES, TRAINED}
    return sorted(wanted, key=lambda name: (name in SAME_GRAPH, name))


def main() -> None:
    """Run the examples and say how each went."""
    known = {path.stem: path for path in sorted(EXAMPLES.glob("*.json"))}
    parser = argparse.ArgumentParser(prog="dev.py gallery", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--seed", type=int, help="in place of the seeds in the files")
    parser.add_argument("--anew", action="store_true", help="forget what earlier runs have trained and saved")
    options = parser.parse_args()
    stop_on_signals()
    if unknown := set(options.names) - set(known):
        parser.error(f"no example workflow is named {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    names = order_of(options.names or list(known))
    host = Path(os.environ["COMFYUI_PATH"]).resolve()
    stand_ins = any(DEMO_NODE not in known[name].read_text(encoding="utf-8") for name in names)
    base = full_size.base_with_stand_ins(host) if stand_ins else work_path() / "gallery"
    if options.anew:
        shutil.rmtree(base / "output", ignore_errors=True)
    make_base(base, {PACK_NAME: ROOT}, INPUTS)
    with Server(Host(host, Path(sys.executable), version_of(host)), base) as server:
        bar = tqdm(names, desc="examples")
        gallery, results = Gallery(ComfyClient(server.url), options.seed, bar), {}
        for name in bar:
            bar.set_description(name)
            results[name] = gallery.attempt(name)
    print(json.dumps(results))
    sys.exit(any(isinstance(result, str) for result in results.values()))


if __name__ == "__main__":
    main()

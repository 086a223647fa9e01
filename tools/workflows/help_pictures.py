"""Take the pictures of the nodes' help pages: what the demo model makes with a socket at one value and at another.

    python dev.py help-pictures [NODE ...]

Runs example workflows on a real server, and builds parts of graphs in the real editor for the nodes that only load or
save. Needs what `python dev.py browser` needs. The pictures go to web/docs/NODE/shown.webp.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from tqdm import tqdm

from ...client.api import ComfyClient, Progress, RunError
from .. import side_by_side
from ..hosts.environment import work_path
from ..hosts.hosts import version_of
from ..hosts.processes import stop_on_signals
from ..hosts.server import PACK_NAME, Host, Server, make_base
from .drawn_graphs import VIEW, Node, clear, draw, photograph
from .editor import FLAGS, find_browser, open_editor
from .gallery import INPUTS, ROOT, frames_of_run
from .help_clips import CLIPS_OF, PREFIX, Compared

PICTURES = ROOT / "web" / "docs"
PICTURE = "shown.webp"
MOST_FRAMES, LARGEST = 24, 160
"""Frames of a picture, and the longer side of a clip in it, in pixels."""
MOTION = Node(f"{PREFIX}LoadMotionModule", (0, 0), (300, 120), {"motion_file": "AnimateLCM_demo_t2v.safetensors"})
GRAPHS: dict[str, dict[str, Node]] = {
    "SaveMotionModule": {
        "motion": MOTION,
        "lora": Node(f"{PREFIX}LoadMotionLoRA", (350, 0), (320, 150),
                     links={"motion_module": ("motion", "motion_module")}),
        "save": Node(f"{PREFIX}SaveMotionModule", (720, 0), (340, 90),
                     links={"motion_module": ("lora", "motion_module")}),
    },
    "AdaptMotionModule": {
        "motion": MOTION,
        "adapt": Node(f"{PREFIX}AdaptMotionModule", (350, 0), (340, 400),
                      links={"motion_module": ("motion", "motion_module")}),
        "save": Node(f"{PREFIX}SaveMotionModule", (740, 0), (340, 90),
                     links={"motion_module": ("adapt", "motion_module")}),
    },
    "SaveControlNet": {
        "control": Node("ControlNetLoader", (0, 0), (320, 70),
                        {"control_net_name": "AnimateLCM_demo_layout_few_steps.safetensors"}),
        "save": Node(f"{PREFIX}SaveControlNet", (370, 0), (340, 90), links={"control_net": ("control", "CONTROL_NET")}),
    },
    "LoadSpatialLoRA": {
        "motion": Node(f"{PREFIX}LoadMotionModule", (0, 0), (300, 120), {"motion_file": "demo (embedded)"}),
        "lora": Node(f"{PREFIX}LoadSpatialLoRA", (0, 170), (300, 120)),
        "distil": Node(f"{PREFIX}DistillMotionModule", (350, 0), (340, 560),
                       links={"motion_module": ("motion", "motion_module"), "lora": ("lora", "lora")}),
    },
}
"""What is drawn for nodes that only load or save."""


def save_clips(client: ComfyClient, compared: Compared, path: Path, show: Callable[[Progress], None]) -> None:
    """Run what makes the clips, and write them beside one another.

    Args:
        show: Called with how far a run is.

    Raises:
        RunError: A run failed, or saved nothing.
    """
    line = {}
    for name, prompt in compared.prompts(client.object_info()).items():
        frames = frames_of_run(client, prompt, show, compared.suffixes)
        if not frames:
            raise RunError(f"{compared.example!r} saved no file that ends in {' or '.join(compared.suffixes)}")
        line[name] = [small(frame) for frame in frames[::-(-len(frames) // MOST_FRAMES)]]
    side_by_side.animate([line], path)


def small(frame: Image.Image) -> Image.Image:
    """Return a frame that is no larger than `LARGEST`, unless it is a sheet of frames."""
    factor = LARGEST / max(frame.size)
    if factor >= 1 or frame.width > 3 * LARGEST:
        return frame
    return frame.resize([round(side * factor) for side in frame.size], Image.Resampling.LANCZOS)


def main() -> None:
    """Run what the pictures show, and write them."""
    parser = argparse.ArgumentParser(prog="dev.py help-pictures", description=__doc__.splitlines()[0])
    parser.add_argument("nodes", nargs="*", metavar="NODE", help=f"of {', '.join([*CLIPS_OF, *GRAPHS])}")
    chosen = parser.parse_args().nodes or [*CLIPS_OF, *GRAPHS]
    stop_on_signals()
    if unknown := set(chosen) - {*CLIPS_OF, *GRAPHS}:
        parser.error(f"there are no pictures of {', '.join(sorted(unknown))}")
    graphs = [node for node in chosen if node in GRAPHS]
    browser_path = find_browser() if graphs else None
    host = Path(os.environ["COMFYUI_PATH"]).resolve()
    base = make_base(work_path() / "help-pictures", {PACK_NAME: ROOT}, INPUTS)
    with Server(Host(host, Path(sys.executable), version_of(host)), base) as server:
        client = ComfyClient(server.url)
        bar = tqdm([node for node in chosen if node in CLIPS_OF], desc="clips")

        def show(progress: Progress) -> None:
            bar.set_postfix_str(f"{progress.node_type} {progress.step}/{progress.steps}")

        for node in bar:
            bar.set_description(node)
            save_clips(client, CLIPS_OF[node], PICTURES / f"{PREFIX}{node}" / PICTURE, show)
        if graphs:
            take_pictures(server.url, browser_path, graphs)


def take_pictures(url: str, browser_path: str | None, nodes: list[str]) -> None:
    """Draw the graphs of nodes in the editor, and write a picture of each."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        try:
            for node in nodes:
                # The editor remembers the values of a graph that was cleared for the next one.
                page = browser.new_page(viewport=VIEW)
                open_editor(page, url)
                clear(page)
                draw(page, GRAPHS[node])
                photograph(page, GRAPHS[node].values(), PICTURES / f"{PREFIX}{node}" / PICTURE)
        finally:
            browser.close()


if __name__ == "__main__":
    main()

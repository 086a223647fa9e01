"""Take the pictures of docs/first-graph.md: build its graph step by step in the real editor, and run it.

    python dev.py first-graph [--output FOLDER]

The demo model takes the place of a checkpoint. Needs what `python dev.py browser` needs. The pictures are written as
WebP, by default into docs/first-graph.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import FloatRect, Page, ViewportSize, sync_playwright

from ...client.api import ComfyClient
from ..hosts.hosts import version_of
from ..hosts.server import PACK_NAME, Host, Server, make_base, stop_on_signals
from .editor import FLAGS, find_browser, open_editor, press_run

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "first-graph"
LARGEST = 150_000
"""Bytes of a picture."""
VIEW: ViewportSize = {"width": 1440, "height": 860}
CORNER, SCALE = (90, 140), 0.88
"""Where the graph's first node lies on the page, and how large it is drawn."""
MARGIN = 24
TITLE = 30
"""Height of a node's title, which is above its place."""
SEARCHED, FOUND = "text to video", "Makes a Stable Diffusion 1.5 MODEL sample a video"


@dataclass(frozen=True)
class Node:
    """A node, where it lies, and what is set and linked on it."""

    kind: str
    place: tuple[int, int]
    size: tuple[int, int]
    values: dict[str, Any] = field(default_factory=dict)
    """By the name of the widget."""
    links: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By the name of the input: the node that it comes from, and its output."""
    title: str = ""


STEPS: dict[str, dict[str, Node]] = {
    "models": {
        "model": Node("AnimateLCM_LoadDemoModel", (0, 0), (300, 66)),
        "lora": Node("LoraLoaderModelOnly", (0, 150), (300, 90),
                     {"lora_name": "AnimateLCM_demo_lora.safetensors", "strength_model": 1.0},
                     {"model": ("model", "MODEL")}),
        "motion": Node("AnimateLCM_LoadMotionModule", (0, 300), (300, 70),
                       {"motion_file": "AnimateLCM_demo_t2v.safetensors"}),
    },
    "video": {
        "video": Node("AnimateLCM_TextToVideo", (350, 300), (330, 190), {"width": 128, "height": 128, "num_frames": 16},
                      {"model": ("lora", "MODEL"), "motion_module": ("motion", "motion_module")}),
    },
    "prompts": {
        "positive": Node("CLIPTextEncode", (350, 0), (330, 110), {"text": "a penguin running left in the snow"},
                         {"clip": ("model", "CLIP")}, "Positive prompt"),
        "negative": Node("CLIPTextEncode", (350, 160), (330, 90), {"text": ""}, {"clip": ("model", "CLIP")},
                         "Negative prompt"),
    },
    "sampler": {
        "sampler": Node("KSampler", (730, 0), (300, 262),
                        {"seed": 7, "control_after_generate": "randomize", "steps": 4, "cfg": 1.0,
                         "sampler_name": "lcm", "scheduler": "simple", "denoise": 1.0},
                        {"model": ("video", "MODEL"), "positive": ("positive", "CONDITIONING"),
                         "negative": ("negative", "CONDITIONING"), "latent_image": ("video", "LATENT")}),
    },
    "graph": {
        "images": Node("VAEDecode", (1080, 0), (300, 50),
                       links={"samples": ("sampler", "LATENT"), "vae": ("model", "VAE")}),
        "clip": Node("CreateVideo", (1080, 100), (300, 80), {"fps": 8.0}, {"images": ("images", "IMAGE")}),
        "save": Node("SaveVideo", (1080, 240), (300, 440), {"filename_prefix": "video/first"},
                     {"video": ("clip", "VIDEO")}),
    },
}
"""What is added in each step, by the name of its picture."""

ADD = """([name, node]) => {
    const graph = window.app.graph, made = LiteGraph.createNode(node.kind);
    made.pos = node.place;
    if (node.title) made.title = node.title;
    graph.add(made);
    made.setSize(node.size);
    for (const [key, value] of Object.entries(node.values)) {
        const widget = made.widgets.find(widget => widget.name === key);
        widget.value = value;
        widget.callback?.(value);
    }
    window.made = {...window.made, [name]: made};
    for (const [input, [from, output]] of Object.entries(node.links)) {
        const origin = window.made[from];
        const slots = [origin.outputs.findIndex(slot => slot.name === output || slot.type === output),
                       made.inputs.findIndex(slot => slot.name === input)];
        if (slots.includes(-1)) throw new Error(`${name}: there is no link from ${from}.${output} to ${input}`);
        origin.connect(slots[0], made, slots[1]);
    }
    made.setSize(node.size);
}"""
CLEAR = "() => { window.app.graph.clear(); window.made = {}; }"
SEARCH = "() => window.app.extensionManager.command.execute('Workspace.SearchBox.Toggle')"
HIDE_MAP = "() => window.app.extensionManager.setting.set('Comfy.Minimap.Visible', false)"
LOOK = """([[x, y], scale]) => {
    const canvas = window.app.canvas, place = canvas.canvas.getBoundingClientRect();
    canvas.ds.scale = scale;
    canvas.ds.offset = [(x - place.x) / scale, (y - place.y) / scale];
    canvas.setDirty(true, true);
}"""


def take_pictures(page: Page, url: str, folder: Path) -> None:
    """Build the graph, run it, and leave a picture of each step."""
    open_editor(page, url)
    page.evaluate(HIDE_MAP)
    page.evaluate(CLEAR)
    # What a double click does; on a busy machine two clicks are too far apart to be one.
    page.evaluate(SEARCH)
    page.wait_for_function("document.activeElement?.tagName === 'INPUT'")
    page.keyboard.type(SEARCHED, delay=40)
    page.get_by_text(FOUND).first.wait_for()
    page.wait_for_timeout(1000)
    write(page, folder / "search.webp")
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    page.evaluate(CLEAR)
    shown: list[Node] = []
    for step, nodes in STEPS.items():
        for name, node in nodes.items():
            page.evaluate(ADD, [name, vars(node)])
        shown += nodes.values()
        page.evaluate(LOOK, [CORNER, SCALE])
        page.mouse.move(VIEW["width"] // 2, VIEW["height"] - 20)
        page.wait_for_timeout(1500)
        write(page, folder / f"{step}.webp", around(shown))
    ComfyClient(url).wait(press_run(page), {})
    # The video has to be there, and to have begun.
    page.wait_for_timeout(5000)
    write(page, folder / "finished.webp")


def around(nodes: list[Node]) -> FloatRect:
    """Return the part of the page that shows the nodes."""
    across, down = (max(node.place[side] + node.size[side] for node in nodes) for side in (0, 1))
    return {"x": CORNER[0] - MARGIN, "y": CORNER[1] - TITLE * SCALE - MARGIN,
            "width": across * SCALE + 2 * MARGIN, "height": (down + TITLE) * SCALE + 2 * MARGIN}


def write(page: Page, path: Path, part: FloatRect | None = None) -> None:
    """Write what the page shows, or a part of it.

    Raises:
        ValueError: The picture is too large for the docs.
    """
    picture = Image.open(io.BytesIO(page.screenshot(clip=part))).convert("RGB")
    picture.save(path, quality=80, method=6)
    size = path.stat().st_size
    print(f"{path.name}: {picture.width} x {picture.height} pixels, {size // 1000} KB", flush=True)
    if size > LARGEST:
        raise ValueError(f"{path} has {size} bytes; a picture of the docs has {LARGEST} at most")


def main() -> None:
    """Start a server and a browser, and take the pictures."""
    parser = argparse.ArgumentParser(prog="dev.py first-graph")
    parser.add_argument("--output", type=Path, default=PICTURES, help="folder for the pictures")
    options = parser.parse_args()
    stop_on_signals()
    browser_path = find_browser()
    path = Path(os.environ["COMFYUI_PATH"]).resolve()
    host = Host(path, Path(sys.executable), version_of(path))
    options.output.mkdir(parents=True, exist_ok=True)
    with (tempfile.TemporaryDirectory() as folder,
          Server(host, make_base(Path(folder), {PACK_NAME: ROOT})) as server, sync_playwright() as playwright):
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        try:
            take_pictures(browser.new_page(viewport=VIEW), server.url, options.output)
        finally:
            browser.close()


if __name__ == "__main__":
    main()

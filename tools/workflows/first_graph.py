"""Take the pictures of docs/first-graph.md: build its graph step by step in the real editor, and run it.

    python dev.py first-graph [--output FOLDER]

The demo model takes the place of a checkpoint. Needs what `python dev.py browser` needs. The pictures are written as
WebP, by default into docs/first-graph.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from ...client.api import ComfyClient
from ..hosts.hosts import version_of
from ..hosts.processes import stop_on_signals
from ..hosts.server import PACK_NAME, Host, Server, make_base
from .drawn_graphs import VIEW, Node, clear, draw, photograph, write
from .editor import FLAGS, find_browser, open_editor, press_run

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "first-graph"
SEARCHED, FOUND = "text to video", "Makes a Stable Diffusion 1.5 MODEL sample a video"
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

SEARCH = "() => window.app.extensionManager.command.execute('Workspace.SearchBox.Toggle')"
HIDE_MAP = "() => window.app.extensionManager.setting.set('Comfy.Minimap.Visible', false)"
def take_pictures(page: Page, url: str, folder: Path) -> None:
    """Build the graph, run it, and leave a picture of each step."""
    open_editor(page, url)
    page.evaluate(HIDE_MAP)
    clear(page)
    # What a double click does; on a busy machine two clicks are too far apart to be one.
    page.evaluate(SEARCH)
    page.wait_for_function("document.activeElement?.tagName === 'INPUT'")
    page.keyboard.type(SEARCHED, delay=40)
    page.get_by_text(FOUND).first.wait_for()
    page.wait_for_timeout(1000)
    write(page, folder / "search.webp")
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    clear(page)
    shown: list[Node] = []
    for step, nodes in STEPS.items():
        draw(page, nodes)
        shown += nodes.values()
        photograph(page, shown, folder / f"{step}.webp")
    ComfyClient(url).wait(press_run(page), {})
    # The video has to be there, and to have begun.
    page.wait_for_timeout(5000)
    write(page, folder / "finished.webp")


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

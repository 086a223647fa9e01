"""What a user sees in the editor, on the classic canvas and in Nodes 2.0: each check raises where it is otherwise."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops
from playwright.sync_api import Page

from ...client.api import ComfyClient, RunError
from ...client.workflow import load
from ..hosts.server import Server
from .demo_prompts import with_demo
from .editor import LIMIT_MS, open_editor, press_run, prompt_of, put_graph, set_setting
from .gallery_checks import check_first_graph, check_help, check_round_trip, check_templates

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES, BLUEPRINTS = ROOT / "example_workflows", ROOT / "subgraphs"
DEMO = EXAMPLES / "03 Text to Video Demo.json"
STEPS, PIXELS = 8, 320
"""So many and so large that there is time to look twice at a clip between two steps."""
NEW_DESIGN = "Comfy.VueNodes.Enabled"
COUNT_PREVIEWS = """() => {
    [window.previews, window.finished, window.jobs] = [0, false, []];
    window.app.api.addEventListener('b_preview_with_metadata', ({detail}) => {
        window.previews += 1;
        window.jobs.push([detail.jobId, detail.displayNodeId]);
    });
    window.app.api.addEventListener('execution_success', () => { window.finished = true; });
}"""
PLACE = """() => {
    const node = window.app.graph.nodes.find(node => node.type === 'KSampler'), {scale, offset} = window.app.canvas.ds;
    const canvas = window.app.canvas.canvas.getBoundingClientRect();
    const [x, y] = [0, 1].map(i => (node.pos[i] + offset[i]) * scale);
    return {x: canvas.x + x, y: canvas.y + y, width: node.size[0] * scale, height: node.size[1] * scale};
}"""


def check_all(page: Page, server: Server, pictures: Path) -> None:
    """Run all checks in both designs, and leave pictures.

    Raises:
        RunError: A user would see something else.
    """
    client = ComfyClient(server.url)
    checks: tuple[Callable[[Page, ComfyClient, Path], None], ...] = (
        check_templates, check_round_trip, check_first_graph, check_preview, check_queue, check_texts, check_error)
    for design, new in (("classic", False), ("new", True)):
        set_setting(server.url, NEW_DESIGN, new)
        open_editor(page, server.url)
        for check in checks:
            try:
                check(page, client, pictures / f"browser-{design}")
            except RunError as error:
                raise RunError(f"{design} design: {error}") from error
            print(f"{design} design: {check.__name__} passed", flush=True)
    check_help(page, server.url, pictures)
    check_lists(page, server)
    check_blueprints(page, client)
    check_app(page, pictures)


def _demo(seed: int, frames: int = 16, pixels: int = 64) -> dict[str, Any]:
    """Return the demo's graph with more steps and no note in the way of the sampler."""
    workflow = load(DEMO)
    for node in workflow["nodes"]:
        if node["type"] == "KSampler":
            node["widgets_values"][0], node["widgets_values"][2] = seed, STEPS
        if node["type"] == "EmptyLatentImage":
            node["widgets_values"] = [pixels, pixels, frames]
    workflow["nodes"] = [node for node in workflow["nodes"] if node["type"] != "MarkdownNote"]
    return workflow


def check_preview(page: Page, client: ComfyClient, pictures: Path) -> None:
    """Look twice at the sampler's node between two steps of an unfinished run: the clip has to have moved."""
    put_graph(page, _demo(seed=len(pictures.name), pixels=PIXELS))
    page.evaluate(COUNT_PREVIEWS)
    run = press_run(page)
    page.wait_for_function("window.previews > 0", timeout=LIMIT_MS)
    moved = False
    while not moved and not page.evaluate("window.finished"):
        before, looks = page.evaluate("window.previews"), []
        for _ in range(2):
            looks.append(page.screenshot(clip=page.evaluate(PLACE)))
            page.wait_for_timeout(200)
        # No step and no end in between: what has changed is the clip alone.
        moved = (page.evaluate("window.previews") == before < STEPS and not page.evaluate("window.finished")
                 and _moved(*looks))
    if moved:
        print(f"step {before} of {STEPS}: the clip plays on its node")
        for number, look in enumerate(looks, 1):
            Path(f"{pictures}-preview-{number}.png").write_bytes(look)
    client.wait(run, {})
    if not moved:
        raise RunError("the clip did not move on the sampler's node before the run was finished")
    if page.evaluate("window.previews") < STEPS / 2:
        raise RunError(f"{STEPS} steps sent {page.evaluate('window.previews')} previews")


def check_queue(page: Page, client: ComfyClient, pictures: Path) -> None:
    """Of several runs that wait, each one's previews name it and its sampler."""
    runs: list[str] = []
    for seed in (101, 102):
        put_graph(page, _demo(seed))
        if not runs:
            page.evaluate(COUNT_PREVIEWS)
        runs.append(press_run(page))
    for run in runs:
        client.wait(run, {})
    page.wait_for_timeout(1000)
    sampler = next(str(node["id"]) for node in _demo(0)["nodes"] if node["type"] == "KSampler")
    shown = [tuple(entry) for entry in page.evaluate("window.jobs")]
    if list(dict.fromkeys(shown)) != [(run, sampler) for run in runs]:
        raise RunError(f"the runs {runs} sent previews as {sorted(set(shown))}")


def _moved(first: bytes, second: bytes) -> bool:
    """Say whether two looks at a node differ in more than the line that shows its progress."""
    one, other = (Image.open(io.BytesIO(look)).convert("RGB") for look in (first, second))
    box = ImageChops.difference(one, other).getbbox()
    return box is not None and box[3] - box[1] > one.height / 20


def check_texts(page: Page, client: ComfyClient, pictures: Path) -> None:
    """A run that does not fit its file says so first, and the text is there again after a reload."""
    put_graph(page, _demo(seed=1, frames=1))
    client.wait(press_run(page), {})
    page.wait_for_timeout(1000)
    said = _text(page)
    if not said.startswith("note: the video has 1 frame"):
        raise RunError(f"Apply Motion Module says {said!r} of a video of one frame")
    # The editor writes its graph into the browser a little later.
    page.wait_for_timeout(2000)
    open_editor(page, page.url)
    page.wait_for_timeout(1000)
    page.screenshot(path=f"{pictures}-text.png")
    if _text(page) != said:
        raise RunError(f"after a reload Apply Motion Module says {_text(page)!r}")


def _text(page: Page) -> str:
    return page.evaluate("""() => window.app.graph.nodes.find(node => node.type === 'AnimateLCM_ApplyMotionModule')
        .widgets.find(widget => widget.name === '$$node-text-preview')?.value ?? ''""")


def check_error(page: Page, client: ComfyClient, pictures: Path) -> None:
    """A run that fails shows this pack's sentence."""
    put_graph(page, _demo(seed=1, frames=80))
    run = press_run(page)
    page.get_by_text("the clip has 80 frames, but the motion module knows at most 64").first.wait_for(timeout=LIMIT_MS)
    page.screenshot(path=f"{pictures}-error.png")
    try:
        client.wait(run, {})
    except RunError:
        return
    raise RunError("80 frames were sampled by a module that knows 64")


def check_lists(page: Page, server: Server) -> None:
    """A file of the user's own is the default of a new node, also where its name sorts behind the demo's."""
    own = server.log.parent / "models" / "loras" / "zz_own.safetensors"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.touch()
    open_editor(page, server.url)
    default, *others = page.evaluate("() => LiteGraph.createNode('LoraLoaderModelOnly').widgets[0].options.values")
    if default != own.name or len(others) < 2:
        raise RunError(f"Load LoRA lists {[default, *others]}")


def check_blueprints(page: Page, client: ComfyClient) -> None:
    """The editor makes a prompt of each blueprint, which runs with the demo model in place of the user's files."""
    for path in sorted(BLUEPRINTS.glob("*.json")):
        put_graph(page, load(path))
        outputs = client.run(with_demo(prompt_of(page)))
        if not any("images" in output for output in outputs.values()):
            raise RunError(f"{path.name} saved no video, but {outputs}")
        print(f"{path.name} ran with the demo model", flush=True)


def check_app(page: Page, pictures: Path) -> None:
    """The examples for real checkpoints have what the editor's app mode shows."""
    for name in ("01 Text to Video", "02 Image to Video"):
        workflow = load(EXAMPLES / f"{name}.json")
        put_graph(page, workflow | {"extra": workflow["extra"] | {"linearMode": True}})
        page.wait_for_timeout(1500)
        page.screenshot(path=str(pictures / f"browser-app-{name}.png"))
        kept = page.evaluate("() => window.app.graph.extra.linearData.inputs.map(entry => entry[1])")
        wanted = [entry[1] for entry in workflow["extra"]["linearData"]["inputs"]]
        if kept != wanted:
            raise RunError(f"app mode of {name} shows {kept} of {wanted}")

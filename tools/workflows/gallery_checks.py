"""What a user does with templates in the editor: opens one, changes and runs it, drops its result, asks for help."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from ...client.api import ComfyClient, RunError, saved_files
from ...client.workflow import load
from . import layout
from .editor import LIMIT_MS, open_editor, open_workflow, press_run, prompt_of, put_graph, set_setting

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES, HELP = ROOT / "example_workflows", ROOT / "web" / "docs"
DEMO = "03 Text to Video Demo"
LANGUAGES = ("en", "ja")
NODE = "AnimateLCM_TextToVideo"
PROMPT, SEED = "a cat running left in a meadow", 7
PLACES = """() => [window.app.graph.nodes.map(node => [Number(node.id), [...node.pos], [...node.size]]),
    window.app.graph.groups.map(group => [group.title, [...group.pos, ...group.size]])]"""
GRAPH = """() => {
    const {nodes, links} = window.app.graph.serialize();
    return [nodes.map(({id, type, pos, widgets_values}) => [id, type, [...pos], widgets_values]).sort(), links];
}"""
DROP = """([name, content]) => {
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0)), carried = new DataTransfer();
    carried.items.add(new File([bytes], name, {type: 'video/mp4'}));
    const canvas = window.app.canvas.canvas, {x, y, width, height} = canvas.getBoundingClientRect();
    const place = {clientX: x + width - 200, clientY: y + height / 2, bubbles: true, cancelable: true};
    for (const type of ['dragenter', 'dragover', 'drop'])
        canvas.dispatchEvent(new DragEvent(type, {...place, dataTransfer: carried}));
}"""
WIRES = """() => {
    const made = {}, graph = window.app.graph;
    const types = {model: 'AnimateLCM_LoadDemoModel', module: 'AnimateLCM_LoadMotionModule', sampler: 'KSampler',
                   lora: 'LoraLoaderModelOnly', positive: 'CLIPTextEncode', negative: 'CLIPTextEncode',
                   decode: 'VAEDecode', create: 'CreateVideo', save: 'SaveVideo'};
    made.video = graph.nodes[0];
    for (const [place, [name, type]] of Object.entries(types).entries()) {
        graph.add(made[name] = LiteGraph.createNode(type));
        made[name].pos = [place % 5 * 300 - 400, Math.floor(place / 5) * 620 - 350];
    }
    for (const [from, output, to, input] of [
        ['model', 'MODEL', 'lora', 'model'], ['lora', 'MODEL', 'video', 'model'],
        ['module', 'motion_module', 'video', 'motion_module'], ['model', 'CLIP', 'positive', 'clip'],
        ['model', 'CLIP', 'negative', 'clip'], ['video', 'MODEL', 'sampler', 'model'],
        ['video', 'LATENT', 'sampler', 'latent_image'], ['positive', 'CONDITIONING', 'sampler', 'positive'],
        ['negative', 'CONDITIONING', 'sampler', 'negative'], ['sampler', 'LATENT', 'decode', 'samples'],
        ['model', 'VAE', 'decode', 'vae'], ['decode', 'IMAGE', 'create', 'images'],
        ['create', 'VIDEO', 'save', 'video']]) {
        const [source, target] = [made[from], made[to]];
        source.connect(source.findOutputSlot(output), target, target.findInputSlot(input));
    }
}"""


def check_places(page: Page, workflow: dict[str, Any], name: str) -> None:
    """The nodes of an open template do not overlap and stay in their groups, as large as the editor has made them.

    Raises:
        RunError: They do not.
    """
    nodes, groups = page.evaluate(PLACES)
    shown = {"nodes": [{"id": node, "pos": pos, "size": size} for node, pos, size in nodes],
             "groups": [{"title": title, "bounding": bounding} for title, bounding in groups]}
    boxes = layout.boxes_of(shown, {node: size[1] for node, _, size in nodes})
    if {node["id"] for node in workflow["nodes"]} != boxes.keys():
        raise RunError(f"{name}: the editor shows the nodes {sorted(boxes)}")
    if faults := layout.overlaps(boxes) + layout.strays(shown, boxes):
        raise RunError(f"{name}: {'; '.join(faults)}")


def check_templates(page: Page, client: ComfyClient, pictures: Path) -> None:
    """Every template opens with all its nodes, where they belong; a picture of each is left."""
    for path in sorted(EXAMPLES.glob("*.json")):
        open_workflow(page, client, path)
        picture = f"{pictures}-{path.stem}.png"
        page.screenshot(path=picture)
        check_places(page, load(path), path.stem)
        print(f"{path.name} opened; screenshot: {picture}", flush=True)


def check_round_trip(page: Page, client: ComfyClient, pictures: Path) -> None:
    """A template is changed, run and finished, and its video, dropped on an empty canvas, gives the same graph back."""
    workflow = load(EXAMPLES / f"{DEMO}.json")
    put_graph(page, workflow)
    page.locator("textarea:visible").first.fill(PROMPT)
    page.evaluate("""seed => {
        window.previews = 0;
        window.app.api.addEventListener('b_preview_with_metadata', () => { window.previews += 1; });
        window.app.graph.nodes.find(node => node.type === 'KSampler').widgets[0].value = seed;
    }""", SEED)
    prompt = prompt_of(page)
    if PROMPT not in json.dumps(prompt):
        raise RunError(f"typing {PROMPT!r} into the first text gave {json.dumps(prompt)[:1000]}")
    outputs = client.wait(press_run(page), prompt)
    page.wait_for_timeout(2000)
    page.screenshot(path=f"{pictures}-finished.png")
    check_places(page, workflow, f"{DEMO}, finished")
    if not page.evaluate("window.previews"):
        raise RunError(f"{DEMO} ran without a preview")
    before = page.evaluate(GRAPH)
    [video] = saved_files(outputs)
    page.evaluate("() => window.app.graph.clear()")
    page.evaluate(DROP, [video["filename"], base64.b64encode(client.fetch_file(video)).decode()])
    page.wait_for_function("count => window.app.graph.nodes.length === count", arg=len(workflow["nodes"]),
                           timeout=LIMIT_MS)
    page.wait_for_timeout(1000)
    page.screenshot(path=f"{pictures}-dropped.png")
    after = page.evaluate(GRAPH)
    if after != before:
        raise RunError(f"the dropped result gives {json.dumps(after)[:1500]}, not {json.dumps(before)[:1500]}")


def check_first_graph(page: Page, client: ComfyClient, pictures: Path) -> None:
    """From an empty canvas: Text to Video is found by its words, and with its defaults a graph makes a whole clip."""
    put_graph(page, {"nodes": [], "links": [], "groups": [], "version": 0.4, "last_node_id": 0, "last_link_id": 0})
    add_by_search(page, "text to video")
    kinds = page.evaluate("() => window.app.graph.nodes.map(node => node.type)")
    if kinds != [NODE]:
        raise RunError(f"a search for text to video adds {kinds}")
    page.evaluate(WIRES)
    page.screenshot(path=f"{pictures}-first-graph.png")
    prompt = prompt_of(page)
    [video] = [node["inputs"] for node in prompt.values() if node["class_type"] == NODE]
    if (video["width"], video["height"], video["num_frames"]) != (512, 512, 16):
        raise RunError(f"Text to Video begins with {video}")
    # The default size takes a CPU long; everything else is as it came.
    page.evaluate("""type => {
        for (const widget of window.app.graph.nodes.find(node => node.type === type).widgets)
            if (['width', 'height'].includes(widget.name)) widget.value = 64;
    }""", NODE)
    outputs = client.wait(press_run(page), prompt)
    page.wait_for_timeout(1500)
    page.screenshot(path=f"{pictures}-first-video.png")
    if not saved_files(outputs):
        raise RunError(f"the first graph saved no video, but {outputs}")
    said = page.evaluate("""type => window.app.graph.nodes.find(node => node.type === type)
        .widgets.find(widget => widget.name === '$$node-text-preview')?.value ?? ''""", NODE)
    if not said.startswith("note: "):
        raise RunError(f"Text to Video says {said!r} of a run with the sampler's defaults")


def add_by_search(page: Page, words: str) -> None:
    """Add the node that the search on an empty canvas lists first for words.

    Raises:
        playwright.sync_api.TimeoutError: The search shows no field, or lists nothing.
    """
    page.mouse.dblclick(700, 450)
    page.locator("input:focus").wait_for(timeout=LIMIT_MS)
    page.keyboard.type(words, delay=30)
    page.get_by_test_id("result-item").first.wait_for(timeout=LIMIT_MS)
    page.wait_for_timeout(1000)
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.app.graph.nodes.length", timeout=LIMIT_MS)
    # The new node hangs on the pointer until a click; still there, it would be taken away with the next Escape.
    page.wait_for_timeout(500)
    page.mouse.click(700, 450)
    page.wait_for_function("() => window.app.canvas.state?.ghostNodeId == null", timeout=LIMIT_MS)
    page.wait_for_timeout(500)


def check_help(page: Page, url: str, pictures: Path) -> None:
    """A node's help page shows its text in the language of the editor, and its picture."""
    for language in LANGUAGES:
        set_setting(url, "Comfy.Locale", language)
        open_editor(page, url)
        put_graph(page, load(EXAMPLES / "01 Text to Video.json"))
        page.evaluate("""type => {
            const node = window.app.graph.nodes.find(node => node.type === type);
            window.app.canvas.selectNode(node);
        }""", NODE)
        page.get_by_test_id("info-button").first.click(timeout=LIMIT_MS)
        panel = page.locator(".node-help-content").first
        panel.wait_for(timeout=LIMIT_MS)
        page.wait_for_timeout(2000)
        page.screenshot(path=str(pictures / f"browser-help-{language}.png"))
        text = "".join(panel.inner_text().split())
        wanted = "".join(first_sentence(HELP / NODE / f"{language}.md").split())
        if wanted not in text:
            raise RunError(f"the help in {language} shows {panel.inner_text()[:300]!r}, not {wanted!r}")
        if not panel.locator("img").first.evaluate("picture => picture.decode().then(() => picture.naturalWidth > 0)"):
            raise RunError(f"the help in {language} does not show its picture")
    set_setting(url, "Comfy.Locale", "en")


def first_sentence(page: Path) -> str:
    """Return the beginning of the first line of a help page that is plain text."""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#!<>-|*`[":
            return line.split("*")[0].split("`")[0][:40]
    raise RunError(f"{page} has no plain text")

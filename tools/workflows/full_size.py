"""Run an example workflow on a real server with files of the real sizes.

    python dev.py full-size
    python dev.py full-size --workflow "example_workflows/02 Image to Video.json"
    python dev.py full-size --workflow "example_workflows/02 Image to Video.json" --picture photo.png --size 136 72

The files are seeded stand-ins (benchmarks.standins; 4.5 GB, written once), so the pictures show nothing. What counts:
every node and loader takes them, the latents are finite and not constant, and the same seed gives the same latents and
the same decoded frames again, bit for bit. The video itself is only looked at: at some widths, such as 72, the host's
conversion for H.264 gives something else each time even for the same frames. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load
from torch import Tensor
from tqdm import tqdm

from ...client.api import ComfyClient, Progress, saved_files
from ...client.workflow import load as load_workflow
from ...client.workflow import set_seed, to_prompt
from ..hosts import hosts
from ..hosts.environment import work_path
from ..hosts.processes import stop_on_signals
from ..hosts.server import PACK_NAME, Host, Server, make_base
from .contact_sheet import sheet_of

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "example_workflows" / "01 Text to Video.json"
BASE = work_path() / "full-size"
UNUSED = ("lora key not loaded", "unet missing", "unet unexpected", "clip missing", "clip unexpected", "left over keys",
          "Missing VAE keys", "Leftover VAE keys", "Traceback")
"""What the host says in its log when a file's weights do not all find their place."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workflow", type=Path, default=WORKFLOW)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, nargs="+", default=[64], metavar="PIXELS",
                        help="side, or width and height; more takes longer")
    parser.add_argument("--picture", type=Path, help="in place of the one that the workflow loads")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where to put a contact sheet of the video")
    chosen = parser.parse_args()
    stop_on_signals()
    if chosen.keep is not None:
        chosen.keep.mkdir(parents=True, exist_ok=True)
    path = Path(os.environ["COMFYUI_PATH"]).resolve()
    base = base_with_stand_ins(path)
    with Server(Host(path, Path(sys.executable), hosts.version_of(path)), base) as server:
        client = ComfyClient(server.url)
        prompt = to_prompt(load_workflow(chosen.workflow), client.object_info())
        shrink(prompt, chosen.frames, chosen.size[0], chosen.size[-1])
        if chosen.picture is not None:
            show_picture(prompt, chosen.picture, base / "input")
        # Another seed in between, so that nothing of the first run is left in the server's cache.
        runs = [run(client, prompt, seed) for seed in (1, 2, 1)]
        complaints = [line for line in server.log.read_text("utf-8", "replace").splitlines() if mentions(line, UNUSED)]
    figures = judge(*runs) | {"complaints": complaints, "files": sum(
        file.stat().st_size for file in (base / "models").rglob("*") if file.suffix in (".ckpt", ".safetensors"))}
    if chosen.keep is not None:
        sheet = sheet_of([Image.fromarray(frame.numpy()) for frame in runs[0].video])
        sheet.save(chosen.keep / f"{chosen.workflow.stem}.png")
    figures["passed"] = not complaints and all(value for value in figures.values() if isinstance(value, bool))
    print(json.dumps(figures))
    raise SystemExit(not figures["passed"])


def base_with_stand_ins(host: Path) -> Path:
    """Return a server's base folder with the stand-ins and with the host's example picture in it."""
    base = make_base(BASE, {PACK_NAME: ROOT})
    # In a process of its own, whose memory is gone when the server starts.
    subprocess.run([sys.executable, ROOT / "standalone.py", "tools.benchmarks.standins", base / "models"], check=True)
    shutil.copy(host / "input" / "example.png", base / "input")
    return base


def mentions(line: str, phrases: tuple[str, ...]) -> bool:
    """Whether a line of the log holds one of the phrases, followed by something other than an empty list."""
    return any(phrase in line for phrase in phrases) and not line.rstrip().endswith("[]")


def show_picture(prompt: dict, picture: Path, folder: Path) -> None:
    """Let a prompt load a picture, which is copied to the server's folder of inputs."""
    shutil.copy(picture, folder)
    for node in prompt.values():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = picture.name


def shrink(prompt: dict, frames: int, width: int, height: int | None = None) -> None:
    """Set the clip's size, and save latents and frames too, which are exact where a video is not."""
    wanted = {"width": width, "height": height or width, "batch_size": frames, "num_frames": frames}
    for name, node in list(prompt.items()):
        node["inputs"] |= {key: value for key, value in wanted.items() if key in node["inputs"]}
        if node["class_type"] == "VAEDecode":
            prompt["latents"] = {"class_type": "SaveLatent", "_meta": {"title": "Save Latent"}, "inputs": {
                "samples": node["inputs"]["samples"], "filename_prefix": "latents/full-size"}}
            prompt["frames"] = {"class_type": "SaveImage", "_meta": {"title": "Save Image"}, "inputs": {
                "images": [name, 0], "filename_prefix": "frames/full-size"}}


@dataclass(frozen=True)
class Outputs:
    """What a run made."""

    latents: Tensor
    """f c h w."""
    frames: Tensor
    """Decoded, f h w 3, uint8."""
    video: Tensor
    """Read from the file, f h w 3, uint8."""
    seconds: float


def run(client: ComfyClient, prompt: dict, seed: int) -> Outputs:
    """Run the workflow."""
    set_seed(prompt, seed)
    start = time.perf_counter()
    with tqdm(desc=f"seed {seed}", bar_format="{desc}: {elapsed} {postfix}") as bar:
        def show(progress: Progress) -> None:
            bar.set_postfix_str(f"{progress.node_type} {progress.step}/{progress.steps}")

        outputs = client.run(prompt, on_progress=show)
    seconds = time.perf_counter() - start
    [latents], frames = (saved_files({"": outputs.pop(name)}) for name in ("latents", "frames"))
    [video] = saved_files(outputs)
    return Outputs(
        latents=load(client.fetch_file(latents))["latent_tensor"],
        frames=torch.stack([read_image(client.fetch_file(frame)) for frame in frames]),
        video=read_video(client.fetch_file(video)), seconds=seconds)


def read_image(data: bytes) -> Tensor:
    """Return a picture, h w 3."""
    return torch.from_numpy(np.array(Image.open(io.BytesIO(data)).convert("RGB")))


def read_video(data: bytes) -> Tensor:
    """Return the frames of an mp4, f h w 3."""
    import av

    with av.open(io.BytesIO(data), mode="r") as container:
        return torch.stack([torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)])


def judge(first: Outputs, other: Outputs, again: Outputs) -> dict:
    """Compare a run with one of another seed and with its repetition."""
    latents, video = first.latents, first.video
    return {
        "finite": bool(latents.isfinite().all()),
        "not_constant": bool(latents.flatten(1).std(1).gt(0).all()) and video.float().std().item() > 0,
        "latents_differ_by_frame": bool((latents[1:] != latents[:-1]).flatten(1).any(1).all()),
        "seeds_differ": not torch.equal(latents, other.latents),
        "latents_reproducible": torch.equal(latents, again.latents),
        "frames_reproducible": torch.equal(first.frames, again.frames),
        "video_has_all_frames": video.shape == first.frames.shape,
        "frames": len(video),
        "latent_std": round(latents.std().item(), 4),
        "seconds_first": round(first.seconds, 1),
        "seconds_warm": round(again.seconds, 1),
    }


if __name__ == "__main__":
    main()

"""Pictures and clips of sizes and kinds that no model was made for, through the server's own loaders."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from animatelcm.client.api import ComfyClient, RunError, saved_files
from animatelcm.demo.files import I2V_MOTION
from animatelcm.tools.hosts.server import Server
from PIL import Image

FRAMES = 5
"""Of a video."""


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def sampling(latent: list, model: list, denoise: float) -> dict[str, Any]:
    """The rest of a workflow, from LATENT and MODEL to saved frames."""
    return {
        "demo": node("AnimateLCM_LoadDemoModel"),
        "text": node("CLIPTextEncode", clip=["demo", 1], text="a red car"),
        "sampled": node("KSampler", model=model, positive=["text", 0], negative=["text", 0], latent_image=latent,
                        seed=1, steps=1, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=denoise),
        "decoded": node("VAEDecode", samples=["sampled", 0], vae=["demo", 2]),
        "saved": node("SaveImage", images=["decoded", 0], filename_prefix="odd"),
    }


def animated(picture: str, width: int, height: int) -> dict[str, Any]:
    return sampling(["animated", 1], ["animated", 0], 1.0) | {
        "picture": node("LoadImage", image=picture),
        "module": node("AnimateLCM_LoadMotionModule", motion_file=I2V_MOTION.rpartition("/")[2]),
        "animated": node("AnimateLCM_ImageToVideo", model=["demo", 0], motion_module=["module", 0], vae=["demo", 2],
                         reference_image=["picture", 0], width=width, height=height, num_frames=FRAMES,
                         motion_scale=0.8, motion_strength=1.0, schedule="auto",
                         **{f"level_{level}_weight": 1.0 for level in (1, 2, 3, 4)}),
    }


def changed(clip: str, denoise: float) -> dict[str, Any]:
    return sampling(["encoded", 0], ["moving", 0], denoise) | {
        "clip": node("LoadVideo", file=clip),
        "parts": node("GetVideoComponents", video=["clip", 0]),
        "encoded": node("VAEEncode", pixels=["parts", 0], vae=["demo", 2]),
        "module": node("AnimateLCM_LoadMotionModule", motion_file="demo (embedded)"),
        "moving": node("AnimateLCM_ApplyMotionModule", model=["demo", 0], motion_module=["module", 0],
                       motion_strength=1.0, schedule="auto"),
    }


def frames(client: ComfyClient, prompt: dict[str, Any]) -> list[np.ndarray]:
    """Run a workflow; return its frames, h w 3."""
    return [np.asarray(Image.open(io.BytesIO(client.fetch_file(entry))))
            for entry in saved_files(client.run(prompt))]


@pytest.fixture(scope="module")
def folder(server: Server) -> Path:
    """The server's folder of inputs."""
    return server.log.parent / "input"


@pytest.mark.parametrize(("mode", "size"), [
    ("RGB", (517, 333)), ("RGBA", (333, 517)), ("L", (131, 93)), ("LA", (93, 131)), ("P", (100, 7)), ("I;16", (64, 65)),
])
def test_a_picture_of_any_size_and_kind_is_animated(client: ComfyClient, folder: Path, mode: str, size: tuple) -> None:
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    deep = mode == "I;16"
    ramp = ((2**16 - 1 if deep else 255) * (x + y) / 2).astype(np.uint16 if deep else np.uint8)
    picture, name = Image.fromarray(ramp), f"{mode.replace(';', '')}.png"
    (picture if deep else picture.convert(mode)).save(folder / name)
    video = frames(client, animated(name, 136, 72))
    assert [frame.shape for frame in video] == [(72, 136, 3)] * FRAMES


def test_a_size_that_no_latent_has_says_what_to_take(client: ComfyClient, folder: Path) -> None:
    Image.new("RGB", (64, 64)).save(folder / "plain.png")
    prompt = animated("plain.png", 64, 64)
    prompt |= {"size": node("PrimitiveInt", value=333)}
    prompt["animated"]["inputs"]["width"] = ["size", 0]
    with pytest.raises(RunError, match=r"ImageToVideo.*333 x 64 pixels.*multiples of 8.*Take 336 x 64"):
        client.run(prompt)


def write_clip(path: Path, width: int, height: int, count: int) -> np.ndarray:
    """Write a clip of a bright bar that moves over a dark ground; return its frames."""
    clip = np.full((count, height, width, 3), 40, np.uint8)
    for number, frame in enumerate(clip):
        frame[:, 10 + 3 * number:30 + 3 * number] = (220, 60, 40)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(8), options={"crf": "4"})
        # Half as many colour values would need even sides.
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())
    return clip


@pytest.mark.parametrize(("width", "height", "count"), [(131, 93, 11), (77, 150, 1)])
def test_a_clip_of_any_size_and_length_is_changed(
        client: ComfyClient, folder: Path, width: int, height: int, count: int) -> None:
    """ComfyUI's VAE Encode cuts sides to multiples of 8, around the middle."""
    clip = write_clip(folder / f"clip{count}.mp4", width, height, count)
    video = frames(client, changed(f"clip{count}.mp4", denoise=0.02))
    top, left = height % 8 // 2, width % 8 // 2
    kept = clip[:, top:top + height // 8 * 8, left:left + width // 8 * 8]
    assert np.shape(video) == kept.shape
    # So little noise changes little: frames and places are those of the clip.
    assert np.abs(np.stack(video).astype(int) - kept).mean() < 12

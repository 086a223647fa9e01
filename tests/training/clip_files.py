"""Small video files and images, written by the test itself."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

CODECS = {".mp4": ("libx264", "yuv420p"), ".webm": ("libvpx-vp9", "yuv420p"), ".gif": ("gif", "rgb8"),
          ".png": ("png", "rgb24")}


def numbered_frames(count: int, height: int = 32, width: int = 48) -> Tensor:
    """Return grey frames whose brightness says their number: (f, 3, h, w) in uint8."""
    levels = torch.arange(count).view(-1, 1, 1, 1) * 10
    return levels.expand(count, 3, height, width).to(torch.uint8)


def number_of(frame: Tensor) -> int:
    """Return the number that a frame, values 0 to 1, shows."""
    return round(frame.mean().item() * 25.5)


def write_video(path: Path, frames: Tensor, caption: str | None = "a clip") -> Path:
    """Write frames (f, 3, h, w) in uint8 as the kind of file that the name asks for, and a caption beside it."""
    codec, pixels = CODECS[path.suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="image2" if path.suffix == ".png" else None) as container:
        stream = container.add_stream(codec, rate=8)
        stream.height, stream.width, stream.pix_fmt = frames.shape[2], frames.shape[3], pixels
        for frame in frames:
            picture = np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def gradient(height: int = 40, width: int = 60) -> Tensor:
    """Return one frame whose red rises to the right and whose green rises downwards: (1, 3, h, w) in uint8."""
    red = torch.linspace(0, 255, width).expand(height, width)
    green = torch.linspace(0, 255, height).unsqueeze(1).expand(height, width)
    return torch.stack([red, green, torch.zeros(height, width)]).unsqueeze(0).to(torch.uint8)


def trimmed(path: Path, target: Path, seconds: float) -> Path:
    """Write a copy of a .mp4 that begins later, as editors cut without encoding anew: what was before stays in it."""
    how = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    with av.open(str(path)) as given, av.open(str(target), "w", container_options=how) as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                before = round(seconds / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - before, packet.dts - before, stream
                container.mux(packet)
    return target

"""Files that nobody should have to train on: by hand, and by chance."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import av
import numpy as np


def png(path: Path, width: int, height: int, pixels: bool = True) -> Path:
    """Write a black picture of any size in a few bytes; without its pixels on request."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    row = bytes(3 * width + 1)
    packed = b"".join(packer.compress(row) for _ in range(height if pixels else 0)) + packer.flush()
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", packed) + chunk(b"IEND", b""))
    return path


def latin_tagged(path: Path, frames: int = 5) -> Path:
    """Write a video whose title is Latin-1: an .avi says of no encoding what it is."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        container.metadata["title"] = "caf#"
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for number in range(frames):
            picture = np.full((32, 48, 3), 10 * number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b"caf#", b"caf\xe9"))
    return path


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return a file's content cut off, with bytes changed, with a part in another place, or with large numbers."""
    data = bytearray(content)
    kind = rng.randrange(5)
    if kind == 0:
        return bytes(data[:rng.randrange(len(data))])
    if kind == 1:
        for _ in range(rng.choice((1, 4, 64))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    if kind == 2:
        start = rng.randrange(len(data))
        part = data[start:start + rng.randrange(1, 200)]
        place = rng.randrange(len(data))
        return bytes(data[:place] + part + data[place:])
    if kind == 3:
        # The headers, where sizes and counts are.
        place = rng.randrange(min(300, len(data) - 4))
        data[place:place + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\xff\xff\xff\x7f"))
        return bytes(data)
    return rng.randbytes(rng.randrange(2000))

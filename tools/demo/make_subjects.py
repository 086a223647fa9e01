"""Cut the world's subjects from the animated Fluent Emoji: writes `subjects.webp` beside this file.

    python standalone.py tools.demo.make_subjects [--packages FOLDER] [--output FILE]

Fetches four packages of about 180 MB each with `npm pack`, unless the folder has them already, and checks that they
are the ones that the file was made from. Needs npm and Pillow. Run it again after a change to the table of subjects.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from ...demo.subjects import ATLAS, CELL, PHASES, SUBJECTS, Subject

PACKAGES = {
    1: "4c03ac178c1eabf2e2a16dd498f3cc2b92dc30ec3466ae38fdc497d4774c99ea",
    2: "e431da8172e394036c330faa77648d6fbbae1fd3b0be95637c4497c9075019c0",
    3: "3624d0c34c819c1794b74ccf6ae9034adff7c4cb6318dd2a645145f0196feb43",
    4: "3d4c08f1e321f70808ef4996aba0ab575a9d97b6c56ffffc92cf6161a7836aa3",
}
"""SHA-256 of version 1.0.0 of @lobehub/fluent-emoji-anim-1 to -4."""
MARGIN = 3
"""Empty pixels around a sprite, so that a turned one is not cut."""
QUALITY = 85


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="folder of the packages, kept for the next time")
    parser.add_argument("--output", type=Path, default=ATLAS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        emoji = read_emoji(options.packages or Path(scratch))
    missing = [subject.code for subject in SUBJECTS if subject.code not in emoji]
    if missing:
        raise SystemExit(f"the packages have no emoji {', '.join(missing)}; correct the codes in subjects.py")
    rows = [np.concatenate(loop(subject, emoji[subject.code]), axis=1) for subject in SUBJECTS]
    atlas = Image.fromarray(np.concatenate(rows), "RGBA")
    atlas.save(options.output, quality=QUALITY, method=6, alpha_quality=90, exact=True)
    print(f"{options.output}: {len(SUBJECTS)} subjects, {options.output.stat().st_size / 2 ** 20:.2f} MiB")


def read_emoji(folder: Path) -> dict[str, bytes]:
    """Return the WebP file of each subject, by code point; fetch the packages that the folder lacks.

    Raises:
        SystemExit: A package is not the one that is known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted, found = {f"package/assets/{subject.code}.webp": subject.code for subject in SUBJECTS}, {}
    for part, digest in PACKAGES.items():
        path = folder / f"lobehub-fluent-emoji-anim-{part}-1.0.0.tgz"
        if not path.exists():
            subprocess.run(["npm", "pack", f"@lobehub/fluent-emoji-anim-{part}@1.0.0"], cwd=folder, check=True)
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise SystemExit(f"{path} is not the package that the subjects were made from; delete it and run again")
        with tarfile.open(path) as package:
            for member in package:
                if member.name in wanted and (file := package.extractfile(member)) is not None:
                    found[wanted[member.name]] = file.read()
    return found


def loop(subject: Subject, data: bytes) -> list[np.ndarray]:
    """Return the sprites of a loop, each (CELL, CELL, 4) in bytes with colours multiplied by opacity.

    They share one cut and one scale, so that the subject neither jumps nor swells.
    """
    frames = read_frames(data)
    first, length = subject.loop
    chosen = [frames[(first + round(index * length / PHASES)) % len(frames)] for index in range(PHASES)]
    seen = np.stack(chosen)[..., 3].max(0) > 0.08
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    return [place(frame, box) for frame in chosen]


def read_frames(data: bytes) -> list[np.ndarray]:
    """Return the frames of an animated WebP, (h, w, 4), 0 to 1, colours multiplied by opacity."""
    frames = []
    with Image.open(io.BytesIO(data)) as image:
        for page in ImageSequence.Iterator(image):
            frame = np.asarray(page.convert("RGBA")).astype(np.float32) / 255
            frame[..., :3] *= frame[..., 3:]
            frames.append(frame)
    return frames


def place(frame: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Cut the box from a frame and put it in the middle of a cell, its longer side as large as the margin leaves."""
    width, height = box[2] - box[0], box[3] - box[1]
    side = CELL - 2 * MARGIN
    scale = side / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    cell = np.zeros((CELL, CELL, 4), np.float32)
    x, y = (CELL - size[0]) // 2, (CELL - size[1]) // 2
    for channel in range(4):
        small = Image.fromarray(frame[..., channel]).resize(size, Image.Resampling.LANCZOS, box=box)
        cell[y:y + size[1], x:x + size[0], channel] = np.asarray(small)
    cell = cell.clip(0, 1)
    cell[..., :3] = np.minimum(cell[..., :3], cell[..., 3:])
    return (cell * 255 + 0.5).astype(np.uint8)


if __name__ == "__main__":
    main()

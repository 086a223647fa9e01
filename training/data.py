"""A folder of captioned clips or images, and which of them a batch holds.

    clips/cat.mp4  clips/cat.txt      the caption of a file has its name and the ending .txt
    clips/cat.hint.mp4                what a ControlNet that is trained follows, frame for frame, where there is one

A file gives `views` clips, each cut once from a seed of its own: where it starts, what part of the picture it shows,
whether it is mirrored. So there are finitely many, and `cache.py` encodes each of them once. What a batch holds
depends on its number alone, so that a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .clips import (
    IMAGES,
    VIDEOS,
    ClipSettings,
    DataError,
    check_length,
    check_size,
    count_frames,
    picture_size,
)

CAPTION = ".txt"
HINT = ".hint"
"""What the name of a file's hint has before its ending."""
SHOWN_PROBLEMS = 20
"""How many problems a message lists before it only counts them."""


@dataclass(frozen=True)
class Item:
    """One video or image file with its caption."""

    path: Path
    caption: str
    num_frames: int
    """Frames of the file."""
    digest: str
    """SHA-256 of the file: a file that was renamed is the same, one that was replaced is not."""
    hint: Path | None = None
    """File that a ControlNet follows, where one is trained."""
    hint_digest: str = ""
    """SHA-256 of that file."""

    def seed(self, view: int, seed: int) -> int:
        """Return the seed of one of the clips; it depends on nothing but the file's content and the numbers."""
        return int.from_bytes(hashlib.sha256(f"{self.digest} {view} {seed}".encode()).digest()[:7], "big")


@dataclass(frozen=True)
class Folder:
    """What a folder holds, and what of it cannot be used."""

    path: Path
    items: tuple[Item, ...]
    """In the order of their names."""
    problems: tuple[str, ...] = ()
    """One sentence for each file that is left out."""

    def report(self) -> str:
        """Say how many files are used, and why the others are not."""
        lines = [f"{self.path}: {len(self.items)} files are used, {len(self.problems)} are not"]
        lines += [f"  {problem}" for problem in self.problems[:SHOWN_PROBLEMS]]
        if len(self.problems) > SHOWN_PROBLEMS:
            lines.append(f"  and {len(self.problems) - SHOWN_PROBLEMS} more")
        # A file's name may hold bytes that are no text, which no terminal prints.
        return "\n".join(lines).encode("utf-8", "backslashreplace").decode()

    def without(self, problems: dict[Item, str]) -> Folder:
        """Return the folder with more items left out.

        Raises:
            DataError: None is left.
        """
        kept = tuple(item for item in self.items if item not in problems)
        folder = Folder(self.path, kept, (*self.problems, *problems.values()))
        if not kept:
            raise DataError(f"nothing to train on: {folder.report()}")
        return folder


def scan(path: Path, settings: ClipSettings, progress: Callable[[int, int], None] = lambda done, total: None,
         hints: bool = False) -> Folder:
    """Look at every file of a folder and the folders in it; names that begin with a dot are passed over.

    Args:
        hints: Whether every clip or image has to have a hint; otherwise hints are not looked at.
        progress: Called with the files looked at and their number.

    Raises:
        DataError: There is no such folder, or nothing in it can be used.
    """
    if not path.is_dir():
        raise DataError(f"{path} is not a folder; name the one that holds the clips and their captions")
    files = sorted(file for file in path.rglob("*") if not file.is_dir()
                   and not any(part.startswith(".") for part in file.relative_to(path).parts))
    if not files:
        raise DataError(f"{path} is empty; put clips ({' '.join(VIDEOS)}) or images ({' '.join(IMAGES)}) into it, "
                        "each with a caption in a .txt file of the same name")
    items, problems = [], []
    captioned = {file.with_suffix("") for file in files if file.suffix.lower() != CAPTION}
    for number, file in enumerate(files, 1):
        try:
            if not file.is_file():
                raise DataError(f"{file} is a link that leads nowhere, or no ordinary file")
            if Path(file.stem).suffix == HINT:
                _check_owner(file)
            elif file.suffix.lower() != CAPTION:
                item = _item(file, settings)
                items.append(_with_hint(item) if hints else item)
            elif file.with_suffix("") not in captioned:
                raise DataError(f"{file} is a caption without a clip or image of the same name")
        except DataError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{file} cannot be read: {error.strerror or error}")
        progress(number, len(files))
    return Folder(path, tuple(items), tuple(problems)).without({})


def _item(file: Path, settings: ClipSettings) -> Item:
    if file.suffix.lower() not in VIDEOS + IMAGES:
        raise DataError(f"{file} is neither a clip ({' '.join(VIDEOS)}) nor an image ({' '.join(IMAGES)})")
    caption = _caption(file)
    num_frames = count_frames(file)
    check_length(file, num_frames, settings)
    check_size(file, *picture_size(file), settings)
    return Item(file, caption, num_frames, sha256(file))


def _check_owner(hint: Path) -> None:
    owner = hint.with_name(Path(hint.stem).stem + hint.suffix)
    if not owner.is_file():
        raise DataError(f"{hint} is a hint without its clip or image, {owner.name}")


def _with_hint(item: Item) -> Item:
    hint = item.path.with_suffix(HINT + item.path.suffix)
    if not hint.is_file():
        raise DataError(f"{item.path} has no hint; put what the ControlNet follows into {hint.name} beside it")
    if (frames := count_frames(hint)) != item.num_frames:
        raise DataError(f"{hint} has {frames} frames and its clip {item.num_frames}; expected as many")
    if (size := picture_size(hint)) != (wanted := picture_size(item.path)):
        raise DataError(f"{hint} has {size[0]} x {size[1]} pixels and its clip {wanted[0]} x {wanted[1]}; "
                        "expected the same size")
    return replace(item, hint=hint, hint_digest=sha256(hint))


def _caption(file: Path) -> str:
    text = file.with_suffix(CAPTION)
    if not text.is_file():
        raise DataError(f"{file} has no caption; write one into {text.name} beside it")
    try:
        caption = " ".join(text.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError as error:
        raise DataError(f"{file} has a caption in {text.name} that is not UTF-8 text") from error
    if "\0" in caption:
        raise DataError(f"{file} has a caption in {text.name} that is no text: it holds zero bytes. Store it as UTF-8")
    if not caption:
        raise DataError(f"{file} has an empty caption; write one into {text.name}")
    return caption


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class Pick:
    """One clip of a batch."""

    index: int
    """Which item of the folder."""
    view: int
    """Which of its clips."""


def picks(number: int, batch: int, count: int, views: int, seed: int) -> list[Pick]:
    """Return the clips of a batch: in every epoch each item once, in a new order, and its next view.

    Args:
        number: Of the batch, from 0.
        batch: Clips of a batch.
        count: Items of the folder.
    """
    first, last = number * batch, (number + 1) * batch - 1
    epochs = range(first // count, last // count + 1)
    clips = [Pick(index, epoch % views) for epoch in epochs for index in _order(epoch, count, seed)]
    offset = first - epochs.start * count
    return clips[offset:offset + batch]


def _order(epoch: int, count: int, seed: int) -> list[int]:
    return random.Random(f"{seed} {epoch}").sample(range(count), count)

"""What the UNet is trained on, encoded once: latents of clips and embeddings of captions, kept on disk.

A file of the cache is named by a hash of all that it was made from, so that a changed clip, caption, setting or encoder
makes a new one, and an old one is never taken for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..storage.atomic import replacing
from .clips import ClipSettings, DataError, read_clip
from .data import Folder, Item, picks
from .draws import Examples, Source, stack
from .finite import is_finite
from .latents import join

FORMAT = 1
"""Raised when the meaning of a cached file changes."""


@dataclass(frozen=True)
class Encoders:
    """The frozen networks before the UNet, which the host provides."""

    frames: Callable[[Tensor], Tensor]
    """Latents in the UNet's scale, (f, 4, h / 8, w / 8), of frames (f, 3, h, w) with values 0 to 1."""
    text: Callable[[str], Tensor]
    """Embedding, (n, d), of a caption."""
    frames_id: str
    """Names the first one's weights, such as the hash of its file."""
    text_id: str
    """Names the second one's weights."""


@dataclass(frozen=True)
class DataSettings:
    """Which clips there are, and in which order."""

    views: int = 4
    """Clips that are cut from each file; each is kept on disk."""
    seed: int = 0
    """Another seed gives other cuts in another order; `plan` takes the run's where none is given."""

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"views is {self.views}; expected 1 or more")


@dataclass(frozen=True)
class CachedClips:
    """A folder whose clips and captions are all encoded."""

    folder: Folder
    clip_settings: ClipSettings
    settings: DataSettings
    cache: Path
    frames_id: str
    text_id: str

    def clip_path(self, item: Item, view: int) -> Path:
        """Return where the latents of a clip lie."""
        made_from = [item.digest, view, self.settings.seed, asdict(self.clip_settings), self.frames_id]
        return self.cache / "latents" / _name(made_from)

    def hint_path(self, item: Item, view: int) -> Path:
        """Return where the hint of a clip lies: as pixels, which a ControlNet takes as they are."""
        made_from = [item.hint_digest, item.seed(view, self.settings.seed), asdict(self.clip_settings)]
        return self.cache / "hints" / _name(made_from)

    def text_path(self, caption: str) -> Path:
        """Return where the embedding of a caption lies."""
        return self.cache / "text" / _name([caption, self.text_id])

    def context(self, captions: Sequence[str]) -> Tensor:
        """Return the embeddings of captions of the folder, or of the empty one, b n d."""
        return join([_read(self.text_path(caption)) for caption in captions])

    def source(self, batch: int, device: torch.device) -> Source:
        """Return what gives the batches of a run: images where a clip is one frame."""
        def examples(number: int) -> Examples:
            chosen = picks(number, batch, len(self.folder.items), self.settings.views, self.settings.seed)
            items = [self.folder.items[pick.index] for pick in chosen]
            views = [(item, pick.view) for item, pick in zip(items, chosen, strict=True)]
            conditions = {}
            if items[0].hint is not None:
                conditions["hint"] = self._batch([self.hint_path(*view) for view in views], device) / 255
            return Examples(self._batch([self.clip_path(*view) for view in views], device),
                            self.context([item.caption for item in items]).to(device), conditions)

        return examples

    def _batch(self, paths: Sequence[Path], device: torch.device) -> Tensor:
        """Return what lies in files as a batch."""
        return stack([_read(path).float() for path in paths]).to(device)


def fill_cache(folder: Folder, clip_settings: ClipSettings, settings: DataSettings, encoders: Encoders, cache: Path,
            progress: Callable[[int, int], None] = lambda done, total: None) -> CachedClips:
    """Encode what is not in the cache yet, or damaged there; a file that cannot be used joins the folder's problems.

    Args:
        progress: Called with the clips and captions encoded and their number; a good place to stop from.

    Raises:
        DataError: No file is left, or the empty caption cannot be encoded.
    """
    clips = CachedClips(folder, clip_settings, settings, cache, encoders.frames_id, encoders.text_id)
    captions = sorted({item.caption for item in folder.items} | {""})
    of_clips = len(folder.items) * settings.views
    total = of_clips + len(captions)
    problems = {}
    for number, item in enumerate(folder.items, 1):
        try:
            for path, clip in _missing_clips(clips, item):
                _write(path, _checked(encoders.frames(clip), f"{item.path}"))
            for path, hint in _missing_hints(clips, item):
                _write(path, (hint * 255).round().to(torch.uint8))
        except DataError as error:
            problems[item] = str(error)
        progress(number * settings.views, total)
    for number, caption in enumerate(captions, 1):
        try:
            if not _is_there(path := clips.text_path(caption)):
                _write(path, _checked(encoders.text(caption), f"the caption {caption!r}"))
        except DataError as error:
            if caption == "":
                raise
            problems |= {item: f"{item.path}: {error}" for item in folder.items if item.caption == caption}
        progress(of_clips + number, total)
    return replace(clips, folder=folder.without(problems))


def _missing_clips(clips: CachedClips, item: Item) -> Iterator[tuple[Path, Tensor]]:
    """Yield the clips of a file that are not in the cache yet, and where each belongs."""
    for view in range(clips.settings.views):
        path = clips.clip_path(item, view)
        if not _is_there(path):
            yield path, read_clip(item.path, item.num_frames, clips.clip_settings, item.seed(view, clips.settings.seed))


def _missing_hints(clips: CachedClips, item: Item) -> Iterator[tuple[Path, Tensor]]:
    """Yield the hints of a file's clips that are not in the cache yet: cut as the clips are, and not tinted."""
    if item.hint is None:
        return
    settings = replace(clips.clip_settings, colour=0.0)
    for view in range(clips.settings.views):
        path = clips.hint_path(item, view)
        if not _is_there(path):
            yield path, read_clip(item.hint, item.num_frames, settings, item.seed(view, clips.settings.seed))


def _name(made_from: list) -> str:
    text = json.dumps([FORMAT, *made_from], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32] + ".safetensors"


def _checked(value: Tensor, what: str) -> Tensor:
    """Refuse what nothing can learn from.

    Raises:
        DataError: Some of the numbers are none.
    """
    if not is_finite(value):
        raise DataError(f"{what} is encoded to nan or infinite numbers. A weight in a caption can do this, such as "
                        "(cat:nan), or a VAE or text encoder in half precision")
    return value


def _write(path: Path, value: Tensor) -> None:
    """Write a file of the cache whole or not at all."""
    with replacing(path) as unfinished:
        save_file({"value": value.detach().cpu().contiguous()}, unfinished)


def _is_there(path: Path) -> bool:
    """Return whether the cache has a file that can be trained on; a damaged one is made anew."""
    try:
        return path.is_file() and is_finite(_read(path))
    except DataError:
        return False


def _read(path: Path) -> Tensor:
    try:
        return load_file(path)["value"]
    except (OSError, KeyError, SafetensorError) as error:
        raise DataError(f"the cached file {path} cannot be read ({error}); delete it and start again, "
                        "so that it is made anew") from error

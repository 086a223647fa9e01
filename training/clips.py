"""Clips out of video and image files: which frames, which part of the picture, which light."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import torch
from torch import Tensor
from torch.nn import functional as F

from .seeds import seeded

VIDEOS = (".mp4", ".webm", ".gif", ".mov", ".mkv", ".avi")
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
CROPS = ("random", "centre")
MOST_PIXELS = 2**26
"""Pixels of a picture. Larger ones take gigabytes to decode and scale; most come of a damaged header."""
MOST_SCALED = 2**27
"""Pixels of all frames of a clip, scaled until they cover its size: a strip is scaled to far more than it has."""
LIMITS = {"max_pixels": str(MOST_PIXELS)}
"""The video library's own check, made before it reserves memory."""


class DataError(ValueError):
    """Training data cannot be used; the message names the file and says why."""


@dataclass(frozen=True)
class ClipSettings:
    """How a clip is cut out of a file."""

    num_frames: int = 16
    """Frames of a clip; 1 for a stage that trains on single images."""
    frame_stride: int = 1
    """Every how many-th frame of the file is taken; 4 makes motion four times as fast."""
    height: int = 256
    """Pixels, a multiple of 8."""
    width: int = 256
    """Pixels, a multiple of 8."""
    crop: str = "random"
    """Where the picture is cut after it was scaled to cover height and width: "random" or "centre"."""
    flip: float = 0.0
    """Chance that a clip is mirrored, 0 to 1; leave it at 0 where captions say left or right."""
    colour: float = 0.0
    """How far brightness, contrast and saturation vary, 0 to 1; 0.1 is little."""

    def __post_init__(self) -> None:
        if self.num_frames < 1 or self.frame_stride < 1:
            raise ValueError(
                f"num_frames is {self.num_frames} and frame_stride {self.frame_stride}; expected 1 or more")
        if min(self.height, self.width) < 8 or self.height % 8 or self.width % 8:
            raise ValueError(f"height is {self.height} and width {self.width}; expected multiples of 8")
        if self.crop not in CROPS:
            raise ValueError(f"crop is {self.crop!r}; expected one of {', '.join(CROPS)}")
        if not (0 <= self.flip <= 1 and 0 <= self.colour <= 1):
            raise ValueError(f"flip is {self.flip} and colour {self.colour}; expected 0 to 1")

    @property
    def span(self) -> int:
        """Frames of the file from a clip's first to its last."""
        return (self.num_frames - 1) * self.frame_stride + 1


def count_frames(path: Path) -> int:
    """Return how many frames a file says that it has, without decoding them.

    Raises:
        DataError: The file cannot be read, or holds no pictures.
    """
    with _opened(path) as container:
        # What a header says is missing in .webm and wrong in cut files; a packet is a frame, but where the file says
        # that it lies before what was cut out.
        return sum(packet.size > 0 and not packet.is_discard for packet in container.demux(video=0))


def picture_size(path: Path) -> tuple[int, int]:
    """Return width and height of a file's pictures, in pixels, as they are stored.

    Raises:
        DataError: The file cannot be read, or holds no pictures.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        if stream.width and stream.height:
            return stream.width, stream.height
        with suppress(av.FFmpegError):
            for frame in container.decode(video=0):
                return frame.width, frame.height
    raise DataError(f"{path} has no picture that can be read, or its pictures have more than {MOST_PIXELS:,} pixels")


def read_clip(path: Path, count: int, settings: ClipSettings, seed: int) -> Tensor:
    """Return one clip of a file that has `count` frames, as `seed` cuts it: (f, 3, h, w), values 0 to 1.

    Raises:
        DataError: The file is too short, breaks off before the clip's last frame, or its pictures are too large or of
            several sizes.
    """
    check_length(path, count, settings)
    start = random.Random(seed).randrange(count - settings.span + 1)
    wanted = range(start, start + settings.span, settings.frame_stride)
    frames, size = [], None
    try:
        for frame in decode(path, wanted):
            size = size or frame.shape
            if frame.shape != size:
                raise DataError(f"{path} has frames of {size[2]} x {size[1]} and of {frame.shape[2]} x "
                                f"{frame.shape[1]} pixels; expected one size in a clip")
            check_size(path, frame.shape[2], frame.shape[1], settings)
            frames.append(cover(frame, settings.height, settings.width))
        return augment(torch.stack(frames), settings, seed)
    except (MemoryError, RuntimeError) as error:
        raise DataError(f"{path} cannot be cut into clips: {error}") from error


def check_length(path: Path, count: int, settings: ClipSettings) -> None:
    """Refuse a file that is shorter than a clip.

    Raises:
        DataError: It is.
    """
    if count < settings.span:
        raise DataError(f"{path} is too short: it has {count} frames, and a clip spans {settings.span} "
                        f"(num_frames {settings.num_frames}, frame_stride {settings.frame_stride})")


def check_size(path: Path, width: int, height: int, settings: ClipSettings) -> None:
    """Refuse pictures that are too large, or would be where they are scaled to cover a clip's size.

    Raises:
        DataError: They are.
    """
    if width * height > MOST_PIXELS:
        raise DataError(f"{path} has pictures of {width} x {height} pixels; expected at most {MOST_PIXELS:,}. Scale "
                        "them down")
    tall, wide = cover_size(height, width, settings.height, settings.width)
    if tall * wide * settings.num_frames > MOST_SCALED:
        raise DataError(f"{path} has pictures of {width} x {height} pixels, which are scaled to {wide} x {tall} to "
                        f"cover a clip of {settings.width} x {settings.height}: that is too large. Cut off the "
                        "longer side")


def decode(path: Path, indices: Sequence[int]) -> Iterator[Tensor]:
    """Yield the frames with these ascending numbers, each (3, h, w) in uint8, the right way up.

    Everything before them is decoded as well: seeking goes to a key frame, which is not where a number says.

    Raises:
        DataError: The file breaks off before.
    """
    wanted = iter(indices)
    next_one: int | None = next(wanted)
    number = -1
    with _opened(path) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number != next_one:
                continue
            yield _upright(torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1), frame.rotation)
            next_one = next(wanted, None)
            if next_one is None:
                return
    raise DataError(f"{path} is damaged: only {number + 1} of its frames can be read, frame {next_one} cannot")


def _upright(frame: Tensor, degrees: int) -> Tensor:
    """Turn a frame, (3, h, w), by what its file says, counter-clockwise: telephones store portraits lying down."""
    return torch.rot90(frame, round(degrees / 90), dims=(1, 2))


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a file that has pictures, and name it in whatever the video library raises while it is read."""
    try:
        # Titles and the like may be in any encoding; nothing here reads them.
        with av.open(str(path), metadata_errors="ignore", options=LIMITS) as container:
            if not container.streams.video:
                raise DataError(f"{path} holds no pictures")
            container.streams.video[0].codec_context.options = LIMITS
            yield container
    except DataError:
        raise
    except Exception as error:
        # Damaged files make it raise errors of every kind.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"{path} cannot be read: {reason}") from error


def cover_size(height: int, width: int, least_height: int, least_width: int) -> tuple[int, int]:
    """Return the height and width of a picture that was scaled until it just covers the least ones."""
    scale = max(least_height / height, least_width / width)
    return max(least_height, round(height * scale)), max(least_width, round(width * scale))


def cover(frame: Tensor, height: int, width: int) -> Tensor:
    """Scale a frame (3, h, w) in uint8 until it just covers height and width, to values 0 to 1."""
    _, own_height, own_width = frame.shape
    size = cover_size(own_height, own_width, height, width)
    scaled = F.interpolate(frame.unsqueeze(0).float() / 255, size, mode="bicubic", antialias=True)
    return scaled.squeeze(0).clamp(0, 1)


def augment(clip: Tensor, settings: ClipSettings, seed: int) -> Tensor:
    """Crop, mirror and tint a clip (f, 3, h, w), all frames alike, as `seed` says.

    torch's global random numbers, which kornia draws from, are left as they were.
    """
    from kornia import augmentation

    size = (settings.height, settings.width)
    steps: list[Any] = [augmentation.RandomCrop(size) if settings.crop == "random" else augmentation.CenterCrop(size)]
    if settings.flip:
        steps.append(augmentation.RandomHorizontalFlip(p=settings.flip))
    if settings.colour:
        steps.append(augmentation.ColorJiggle(settings.colour, settings.colour, settings.colour))
    chain = augmentation.VideoSequential(*steps, data_format="BTCHW", same_on_frame=True)
    with seeded(seed):
        return chain(clip.unsqueeze(0)).squeeze(0)

"""Clips out of video and image files: which frames, which part of the picture, which light."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import torch
from torch import Tensor
from torch.nn import functional as F

VIDEOS = (".mp4", ".webm", ".gif", ".mov", ".mkv", ".avi")
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
CROPS = ("random", "centre")


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
    with _reading(path), av.open(str(path)) as container:
        if not container.streams.video:
            raise DataError(f"{path} holds no pictures")
        # What a header says is missing in .webm and wrong in cut files; a packet is a frame.
        return sum(packet.size > 0 for packet in container.demux(video=0))


def picture_size(path: Path) -> tuple[int, int]:
    """Return width and height of a file's pictures, in pixels, as they are stored.

    Raises:
        DataError: The file cannot be read.
    """
    with _reading(path), av.open(str(path)) as container:
        return container.streams.video[0].width, container.streams.video[0].height


def read_clip(path: Path, count: int, settings: ClipSettings, seed: int) -> Tensor:
    """Return one clip of a file that has `count` frames, as `seed` cuts it: (f, 3, h, w), values 0 to 1.

    Raises:
        DataError: The file is too short, or breaks off before the clip's last frame.
    """
    check_length(path, count, settings)
    start = random.Random(seed).randrange(count - settings.span + 1)
    wanted = range(start, start + settings.span, settings.frame_stride)
    clip = torch.stack([cover(frame, settings.height, settings.width) for frame in decode(path, wanted)])
    return augment(clip, settings, seed)


def check_length(path: Path, count: int, settings: ClipSettings) -> None:
    """Refuse a file that is shorter than a clip.

    Raises:
        DataError: It is.
    """
    if count < settings.span:
        raise DataError(f"{path} is too short: it has {count} frames, and a clip spans {settings.span} "
                        f"(num_frames {settings.num_frames}, frame_stride {settings.frame_stride})")


def decode(path: Path, indices: Sequence[int]) -> Iterator[Tensor]:
    """Yield the frames with these ascending numbers, each (3, h, w) in uint8, the right way up.

    Everything before them is decoded as well: seeking goes to a key frame, which is not where a number says.

    Raises:
        DataError: The file breaks off before.
    """
    wanted = iter(indices)
    next_one = next(wanted)
    number = -1
    with _reading(path), av.open(str(path)) as container:
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
def _reading(path: Path) -> Iterator[None]:
    """Name the file in the errors of the video library."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def cover(frame: Tensor, height: int, width: int) -> Tensor:
    """Scale a frame (3, h, w) in uint8 until it just covers height and width, to values 0 to 1."""
    scale = max(height / frame.shape[1], width / frame.shape[2])
    size = [max(height, round(frame.shape[1] * scale)), max(width, round(frame.shape[2] * scale))]
    scaled = F.interpolate(frame.unsqueeze(0).float() / 255, size, mode="bicubic", antialias=True)
    return scaled.squeeze(0).clamp(0, 1)


def augment(clip: Tensor, settings: ClipSettings, seed: int) -> Tensor:
    """Crop, mirror and tint a clip (f, 3, h, w), all frames alike, as `seed` says.

    torch's global random numbers, which kornia draws from, are left as they were.
    """
    from kornia import augmentation

    size = (settings.height, settings.width)
    steps = [augmentation.RandomCrop(size) if settings.crop == "random" else augmentation.CenterCrop(size)]
    if settings.flip:
        steps.append(augmentation.RandomHorizontalFlip(p=settings.flip))
    if settings.colour:
        steps.append(augmentation.ColorJiggle(settings.colour, settings.colour, settings.colour))
    chain = augmentation.VideoSequential(*steps, data_format="BTCHW", same_on_frame=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return chain(clip.unsqueeze(0)).squeeze(0)

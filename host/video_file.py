"""A video file that grows frame by frame, in the host's output folder and with the host's metadata."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import folder_paths
from comfy.cli_args import args
from torch import Tensor

COMMON_RATE = 48_000
"""Samples a second that every audio codec for videos knows."""


@dataclass(frozen=True)
class Codecs:
    """How a container is written."""

    video: str
    audio: str
    sample_rate: int | None
    """The only one that is written; None: each that the audio codec knows."""
    crf: range
    """The qualities that the video codec takes."""
    recommended_crf: int
    container_options: dict[str, str]
    video_options: dict[str, str]

    def rate_for(self, sample_rate: int) -> int:
        """Return the sample rate that sound of another is written with: its own where the audio codec knows that."""
        if self.sample_rate is not None:
            return self.sample_rate
        return sample_rate if sample_rate in (av.Codec(self.audio, "w").audio_rates or ()) else COMMON_RATE


FORMATS = {
    # The host's own options: without the first flag a player sees no metadata that it does not know.
    "mp4": Codecs("h264", "aac", None, range(52), 19, {"movflags": "use_metadata_tags+faststart"}, {}),
    "webm": Codecs("libvpx-vp9", "libopus", COMMON_RATE, range(64), 30, {},
                   {"deadline": "good", "cpu-used": "4", "row-mt": "1"}),
}
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
"""Names of the channels of an AUDIO, by their number."""


@dataclass(frozen=True)
class Target:
    """What a video is written as."""

    filename_prefix: str
    format: str
    """One of FORMATS."""
    fps: float
    crf: int
    """Quality; less is better."""
    audio: dict | None = None
    """The host's AUDIO: a waveform b c n and its sample_rate; the first of a batch is taken."""
    prompt: dict | None = None
    extra_pnginfo: dict | None = None
    """What the host hands to nodes that save: the workflow, under its name."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format is {self.format!r}; expected one of {', '.join(FORMATS)}")
        codecs = FORMATS[self.format]
        if self.crf not in codecs.crf:
            raise ValueError(f"crf is {self.crf}; expected {codecs.crf.start} to {codecs.crf.stop - 1} for "
                             f"{self.format}, {codecs.recommended_crf} is recommended")
        # Also false for what is not a number.
        if not 0 < self.fps < math.inf:
            raise ValueError(f"fps is {self.fps:g}; expected more than 0, such as 8")
        if self.audio is not None:
            _check_audio(self.audio["waveform"])

    @property
    def rate(self) -> Fraction:
        """Return the frames a second as the host rounds them."""
        return Fraction(round(self.fps * 1000), 1000)


def _check_audio(waveform: Tensor) -> None:
    if waveform.ndim != 3 or not len(waveform):
        raise ValueError(f"the audio's waveform has the shape {tuple(waveform.shape)}; expected (1, channels, "
                         "samples). Connect the audio of Load Audio")
    if waveform.shape[1] not in LAYOUTS:
        raise ValueError(f"the audio has {waveform.shape[1]} channels; expected {', '.join(map(str, LAYOUTS))}. Mix "
                         "them down before")


class VideoFile:
    """The file of a Target. It is playable after `close`, however many frames it has by then."""

    def __init__(self, target: Target, width: int, height: int) -> None:
        folder, name, counter, self.subfolder, _ = folder_paths.get_save_image_path(
            target.filename_prefix, folder_paths.get_output_directory(), width, height)
        self.path = Path(folder) / f"{name}_{counter:05}_.{target.format}"
        self.target, self.frames, codecs = target, 0, FORMATS[target.format]
        self._container = av.open(str(self.path), mode="w", options=codecs.container_options)
        self._container.metadata.update(_metadata(target))
        stream: Any = self._container.add_stream(codecs.video, rate=target.rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(target.crf)} | codecs.video_options
        if target.format == "webm":
            # Else VP9 takes the quality for a bound beside the default bit rate.
            stream.bit_rate = 0
        self._video = stream
        self._sound = _Sound(self._container, target.audio, codecs) if target.audio is not None else None

    def write(self, images: Tensor) -> None:
        """Add frames f h w 3, of values 0 to 1, and the sound that belongs to them."""
        for image in (images[..., :3] * 255).clamp(0, 255).byte().cpu().numpy():
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            self._container.mux(self._video.encode(frame))
            self.frames += 1
        if self._sound is not None:
            self._container.mux(self._sound.until(self.frames / self.target.rate))

    def close(self) -> None:
        """Write what the codecs still hold, and the end of the file."""
        try:
            self._container.mux(self._video.encode(None))
            if self._sound is not None:
                self._container.mux(self._sound.end())
        finally:
            self._container.close()


class _Sound:
    """The sound track: it is cut where the video ends, which is known only then."""

    def __init__(self, container: Any, audio: dict, codecs: Codecs) -> None:
        self._waveform, self._rate, self._next = audio["waveform"][0], int(audio["sample_rate"]), 0
        self._layout = LAYOUTS[len(self._waveform)]
        self._stream = container.add_stream(codecs.audio, rate=codecs.rate_for(self._rate), layout=self._layout)

    def until(self, seconds: Fraction) -> list:
        """Return the packets of the sound up to a time."""
        last = min(math.ceil(seconds * self._rate), self._waveform.shape[1])
        if last <= self._next:
            return []
        piece = self._waveform[:, self._next:last].float().cpu().contiguous().numpy()
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._next, Fraction(1, self._rate)
        self._next = last
        return self._stream.encode(frame)

    def end(self) -> list:
        """Return the packets that the codec still holds."""
        return self._stream.encode(None)


def _metadata(target: Target) -> dict[str, str]:
    """Return the prompt and the workflow as the host's Save Video writes them."""
    if args.disable_metadata:
        return {}
    entries = dict(target.extra_pnginfo or {})
    if target.prompt is not None:
        entries["prompt"] = target.prompt
    return {key: json.dumps(value) for key, value in entries.items()}

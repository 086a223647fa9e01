"""When, at which frames and where in the picture a motion module acts, and how strongly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from comfy.model_sampling import ModelSamplingDiscrete
from torch import Size, Tensor
from torch.nn import functional as F

from ..keyframes.curve import Curve
from .windows import frames_of_clip, window_of


@dataclass(frozen=True, eq=False)
class Video:
    """What is sampled in one run; under its own class in the transformer_options of each call."""

    shape: Size
    """Of its latents, f 4 h w."""
    _made: dict[int, tuple[Curve, Tensor]] = field(default_factory=dict)
    """Curves and their numbers. The curves themselves keep their ids from being given to others."""

    def numbers(self, curve: Curve) -> Tensor:
        """Return a curve's number at each frame, (f,), which is made once: a long video has thousands of calls."""
        if id(curve) not in self._made:
            self._made[id(curve)] = curve, curve.over(self.shape[0])
        return self._made[id(curve)][1]


@dataclass(frozen=True, eq=False)
class Factor:
    """A factor that may differ from frame to frame and from place to place."""

    node: str
    """Whose it is, for messages."""
    number: float = 1.0
    curve: Curve | None = None
    """At each frame."""
    mask: Tensor | None = None
    """At each place, m h w, of all frames or with one mask for each."""

    def __post_init__(self) -> None:
        if self.mask is not None and (self.mask.ndim != 3 or not self.mask.numel()):
            raise ValueError(f"the mask has the shape {tuple(self.mask.shape)}; expected (masks, height, width)")

    def check(self, num_frames: int) -> None:
        """Check that the factor belongs to a video of so many frames.

        Raises:
            ValueError: The curve is of another video, or there are masks for another number.
        """
        if self.curve is not None:
            self.curve.check(num_frames)
        if self.mask is not None and len(self.mask) not in (1, num_frames):
            raise ValueError(f"the video has {num_frames} frames, but {self.node} was given {len(self.mask)} masks. "
                             "Connect one mask, or one for each frame")

    def in_call(self, x: Tensor, num_frames: int, options: dict) -> float | Tensor:
        """Return the factor in one call of the UNet.

        Args:
            x: The call's input, (b f) 4 h w.
            num_frames: f, the frames of a clip.
            options: The call's transformer_options.

        Returns:
            A number, or f or 1, 1, and height and width of the mask or 1, 1.
        """
        video = _video(x, num_frames, options)
        total = video.shape[0]
        factor: float | Tensor = self.number
        if self.curve is not None:
            of_frames = video.numbers(self.curve)[self._chosen(total, num_frames, options)].view(-1, 1, 1, 1)
            factor = of_frames if self.number == 1 else self.number * of_frames
        if self.mask is not None:
            if x.shape[-2:] != video.shape[-2:]:
                raise ValueError(f"a conditioning is for a part of the picture only, which the mask of {self.node} "
                                 "does not fit. Use Conditioning (Set Mask), with set_cond_area 'default', instead of "
                                 "Conditioning (Set Area)")
            mask = self.mask if len(self.mask) == 1 else self.mask[self._chosen(total, num_frames, options)]
            factor = _times(factor, mask[:, None])
        return factor

    def _chosen(self, total_frames: int, num_frames: int, options: dict) -> list[int]:
        chosen = frames_of_clip(total_frames, num_frames, options)
        if chosen is None:
            raise ValueError(f"the UNet is given {num_frames} frames at a time, and nothing says which of the video's "
                             f"{total_frames} they are, for the curve or masks of {self.node}. Use the node Long Video")
        return list(chosen)


@dataclass(frozen=True, eq=False)
class StrengthControl:
    """One control over a motion module; several multiply."""

    start_percent: float = 0.0
    """Share of the sampling, 0 to 1, at which the module begins to act, as the host counts it: in timesteps."""
    end_percent: float = 1.0
    """Share at which it no longer acts."""
    curve: Curve | None = None
    """Factor on the strength at each frame."""
    mask: Tensor | None = None
    """Factor on the strength at each place, m h w, of all frames or with one mask for each."""
    attention: Factor | None = None
    """Factor on the keys of the module's attention."""

    def __post_init__(self) -> None:
        if not 0 <= self.start_percent < self.end_percent <= 1:
            raise ValueError(f"start_percent is {self.start_percent:g} and end_percent {self.end_percent:g}; expected "
                             "0 <= start_percent < end_percent <= 1")
        self._strength()

    def acts_at(self, sigma: float, model_sampling: ModelSamplingDiscrete) -> bool:
        """Say whether the module acts at a noise level.

        At the border of two ranges only the second one acts, so that modules can follow one another.
        """
        start, end = (model_sampling.percent_to_sigma(share) for share in (self.start_percent, self.end_percent))
        return end < sigma <= start

    def check(self, video: Size) -> None:
        """Check that the control belongs to a video of latents f 4 h w.

        Raises:
            ValueError: A curve or masks are of another video.
        """
        self._strength().check(video[0])
        if self.attention is not None:
            self.attention.check(video[0])

    def factor(self, x: Tensor, num_frames: int, options: dict) -> Tensor | None:
        """Return the factor on the strength in one call of the UNet, or None where there is none.

        Args and Returns: as of `Factor.in_call`.
        """
        factor = self._strength().in_call(x, num_frames, options)
        return factor if isinstance(factor, Tensor) else None

    def _strength(self) -> Factor:
        return Factor("Motion Control", 1.0, self.curve, self.mask)


def _video(x: Tensor, num_frames: int, options: dict) -> Video:
    """Return the whole video."""
    if Video in options:
        return options[Video]
    # A MODEL without motion modules has no such entry.
    window = window_of(options)
    return Video(Size([num_frames if window is None else window.total_frames, *x.shape[1:]]))


def acting_in(controls: Iterable[StrengthControl], sigmas: list[float], model_sampling: ModelSamplingDiscrete
              ) -> list[bool]:
    """Say whether a motion module acts at each of these noise levels, as all of its controls say."""
    return [all(control.acts_at(sigma, model_sampling) for control in controls) for sigma in sigmas]


def strength_in(call: Tensor, strength: float, controls: Iterable[StrengthControl], num_frames: int, options: dict,
                acting: list[bool]) -> float | Tensor:
    """Return the strength of a motion module in one call: a number, or a tensor that broadcasts to f 1 h w.

    Args:
        call: The call's input, (b f) 4 h w.
        strength: What the controls' factors multiply.
        acting: Whether the module acts: on all frames, or on each.
    """
    product: float | Tensor = strength
    if not all(acting):
        product = strength * torch.tensor(acting).view(-1, 1, 1, 1)
    for control in controls:
        factor = control.factor(call, num_frames, options)
        if factor is not None:
            product = _times(product, factor)
    if not isinstance(product, Tensor):
        return product
    # The number 0 lets a site do nothing at all.
    return product.to(call.device) if product.any() else 0.0


def attention_scale_in(call: Tensor, controls: Iterable[StrengthControl], num_frames: int, options: dict
                       ) -> float | Tensor:
    """Return the factor on the keys of a motion module's attention in one call, in the forms of `strength_in`."""
    product: float | Tensor = 1.0
    for control in controls:
        if control.attention is not None:
            product = _times(product, control.attention.in_call(call, num_frames, options))
    return product.to(call.device) if isinstance(product, Tensor) else product


def _times(one: float | Tensor, other: float | Tensor) -> float | Tensor:
    """Multiply two factors; of masks of two sizes the smaller one is scaled up."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        # Curves are in main memory; masks may be on the GPU, where the host is told to keep everything.
        one = one.to(other.device)
        sizes = {each.shape[-2:] for each in (one, other)} - {(1, 1)}
        if len(sizes) > 1:
            size = max(sizes, key=lambda each: each[0] * each[1])
            one, other = (each if each.shape[-2:] in ((1, 1), size) else F.interpolate(each, size, mode="bilinear")
                          for each in (one, other))
    return one * other

"""When, at which frames and where in the picture a motion module acts, and how strongly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from comfy.model_sampling import ModelSamplingDiscrete
from torch import Size, Tensor

from ..keyframes.curve import Curve
from .windows import frames_of_clip


@dataclass(frozen=True)
class Video:
    """What is sampled in one run; under its own class in the transformer_options of each call."""

    shape: Size
    """Of its latents, f 4 h w."""


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

    def __post_init__(self) -> None:
        if not 0 <= self.start_percent < self.end_percent <= 1:
            raise ValueError(f"start_percent is {self.start_percent:g} and end_percent {self.end_percent:g}; expected "
                             "0 <= start_percent < end_percent <= 1")
        if self.mask is not None and (self.mask.ndim != 3 or not self.mask.numel()):
            raise ValueError(f"the mask has the shape {tuple(self.mask.shape)}; expected (masks, height, width)")

    def acts_at(self, sigma: float, model_sampling: ModelSamplingDiscrete) -> bool:
        """Say whether the module acts at a noise level.

        At the border of two ranges only the second one acts, so that modules can follow one another.
        """
        start, end = (model_sampling.percent_to_sigma(share) for share in (self.start_percent, self.end_percent))
        return end < sigma <= start

    def check(self, video: Size) -> None:
        """Check that the control belongs to a video of latents f 4 h w.

        Raises:
            ValueError: The curve names a frame that the video does not have, or there are masks for another number.
        """
        if self.curve is not None:
            self.curve.check(video[0])
        if self.mask is not None and len(self.mask) not in (1, video[0]):
            raise ValueError(f"the video has {video[0]} frames, but Motion Control was given {len(self.mask)} masks. "
                             "Connect one mask, or one for each frame")

    def factor(self, x: Tensor, num_frames: int, options: dict) -> Tensor | None:
        """Return the factor on the strength in one call of the UNet, or None where there is none.

        Args:
            x: The call's input, (b f) 4 h w.
            num_frames: f, the frames of a clip.
            options: The call's transformer_options.

        Returns:
            f or 1, 1, and height and width of the mask or 1, 1.
        """
        video = options[Video].shape if Video in options else x[:num_frames].shape
        factor = None
        if self.curve is not None:
            factor = self.curve.over(video[0])[_chosen(video[0], num_frames, options)].view(-1, 1, 1, 1)
        if self.mask is not None:
            if x.shape[-2:] != video[-2:]:
                raise ValueError("a conditioning is for a part of the picture only, which the mask of Motion Control "
                                 "does not fit. Use Conditioning (Set Mask), with set_cond_area 'default', instead of "
                                 "Conditioning (Set Area)")
            one = len(self.mask) == 1
            mask = self.mask if one else self.mask[_chosen(video[0], num_frames, options)]
            factor = mask[:, None] if factor is None else factor * mask[:, None]
        return factor


def _chosen(total_frames: int, num_frames: int, options: dict) -> list[int]:
    chosen = frames_of_clip(total_frames, num_frames, options)
    if chosen is None:
        raise ValueError(f"the UNet is given {num_frames} frames at a time, and nothing says which of the video's "
                         f"{total_frames} they are, for the curve or masks of Motion Control. Use the node "
                         "Long Video")
    return list(chosen)


def strength_in(call: Tensor, strength: float, controls: Iterable[StrengthControl], num_frames: int, options: dict
                ) -> float | Tensor:
    """Return the strength of a motion module in one call: a number, or a tensor that broadcasts to f 1 h w.

    Args:
        call: The call's input, (b f) 4 h w.
        strength: What the controls' factors multiply.
    """
    product: float | Tensor = strength
    for control in controls:
        factor = control.factor(call, num_frames, options)
        if factor is not None:
            product = product * factor
    if not isinstance(product, Tensor):
        return product
    # The number 0 lets a site do nothing at all.
    return product.to(call.device) if product.any() else 0.0

"""A prompt for each frame, as one CONDITIONING whose batch is the video."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from comfy.sd import CLIP
from torch import Tensor

from ..keyframes import travel
from ..keyframes.curve import Curve
from ..keyframes.prompts import read_prompts


def encode_schedule(clip: CLIP, schedule: str, num_frames: int, interpolation: str, prefix: str = "", suffix: str = "",
                    position: Curve | None = None) -> tuple[list, str]:
    """Return the CONDITIONING of prompts that change over the frames, and lines for the node to show.

    Args:
        schedule: Key frames as text, such as "0: spring, 32: summer".
        num_frames: Frames of the video.
        interpolation: One of INTERPOLATIONS.
        prefix: Text before every prompt; the `suffix` stands after it.
        position: Where in the schedule each frame is, 0 its first frame and 1 its last; evenly by default.

    Raises:
        ValueError: The video has no frames, the text is no schedule, or names a frame that the video does not have; or
            the position is of another video.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames is {num_frames}; a video has at least 1 frame, as many as the latent has")
    prompts = read_prompts(schedule, num_frames, prefix, suffix)
    whole = prompts.whole()
    mixed = travel.blends_at([key.frame for key in prompts.keys], _moments(num_frames, position), interpolation)
    encoded = {prompt: clip.encode_from_tokens_scheduled(clip.tokenize(prompt)) for prompt in set(whole)}
    # More than one entry where LoRAs on the CLIP change during sampling; each entry is for a part of the steps.
    parts = zip(*(encoded[prompt] for prompt in whole), strict=True)
    conditioning = [_join(part, mixed) for part in parts]
    lines = [f"frame {key.frame}: {key.value[:60]}" for key in prompts.keys]
    shared = [("before every prompt", prompts.before), ("after every prompt", prompts.after)]
    lines += [f"{where}: {words[:60]}" for where, words in shared if words]
    return conditioning, "\n".join([*lines, f"{conditioning[0][0].shape[1]} tokens a frame"])


def _moments(num_frames: int, position: Curve | None) -> Sequence[float]:
    """Return the place of each frame in the schedule, in frames."""
    if position is None:
        return range(num_frames)
    # Numbers in single precision lie a little beside the frames that they mean.
    return [round(share * (num_frames - 1), 3) for share in position.over(num_frames).tolist()]


def _join(prompts: tuple, mixed: list[travel.Blend]) -> list:
    """Return one entry of a CONDITIONING for all frames from those of the key frames; options are the first one's."""
    options = dict(prompts[0][1])
    pooled = [entry[1].get("pooled_output") for entry in prompts]
    if all(each is not None for each in pooled):
        options["pooled_output"] = travel.travel(torch.cat(pooled), mixed)
    return [travel.travel(travel.to_common_length([entry[0] for entry in prompts]), mixed), options]


def check_prompts(conds: dict[str, list[dict]], num_frames: int) -> None:
    """Check that prompts for each frame belong to a video of so many frames; ComfyUI would repeat or cut them.

    Raises:
        ValueError: They do not.
    """
    for name, entries in conds.items():
        for entry in entries:
            tokens: Tensor | None = entry.get("cross_attn")
            if tokens is not None and len(tokens) not in (1, num_frames):
                raise ValueError(f"the {name} conditioning has prompts for {len(tokens)} frames, the video has "
                                 f"{num_frames}. Set num_frames of Prompt Schedule to the video's")

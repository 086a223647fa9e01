"""What a checkpoint for inpainting is given beside the noisy latents: a mask and a picture for each frame.

The host makes them when a run begins, for as many frames as the noise has. Of a recorded video the noise has those of a
window, so that they are made here for the frames of each call.
"""

from __future__ import annotations

from comfy.conds import CONDNoiseShape
from comfy.model_base import BaseModel
from torch import Tensor

MADE = "c_concat"
"""Names what the host made, among what it made of a conditioning."""
GIVEN = {"concat_mask": "masks", "concat_latent_image": "pictures"}
"""What a conditioning may bring, in place of the noise masks and of the latents."""


def check_pictures(conds: dict[str, list[dict]], num_frames: int) -> None:
    """Check that what conditionings bring for inpainting belongs to a recorded video of so many frames.

    Raises:
        ValueError: They have neither one mask or picture nor one for each frame.
    """
    for name, entries in conds.items():
        for entry in filter(_is_used, entries):
            for key, what in GIVEN.items():
                given: Tensor | None = entry.get(key)
                # One mask may come without an axis for them.
                count = len(given) if given is not None and given.ndim > 2 else 1
                if count not in (1, num_frames):
                    raise ValueError(f"the video has {num_frames} frames, but the {name} conditioning for inpainting "
                                     f"has {count} {what}. Give it one for the whole video, or one for each frame")


def with_pictures(base: BaseModel, conds: list[list[dict] | None], x: Tensor, latents: Tensor, masks: Tensor | None
                  ) -> list[list[dict] | None]:
    """Return the conditionings of a call with the masks and pictures of its frames.

    Args:
        conds: With what they bring for inpainting for all frames, or for each frame of the call.
        x: The call's frames, f 4 h w.
        latents: The video's content at these frames, f 4 h w in the UNet's scale.
        masks: Its noise masks at these frames, f 4 h w.
    """
    def own(entry: dict) -> dict:
        if not _is_used(entry):
            return entry
        made = base.concat_cond(**{
            "latent_image": latents, "denoise_mask": masks, **entry, "noise": x, "device": x.device})
        return entry | {"model_conds": entry["model_conds"] | {MADE: CONDNoiseShape(made)}}

    return [cond and [own(entry) for entry in cond] for cond in conds]


def _is_used(entry: dict) -> bool:
    """Say whether the MODEL is given a mask or picture under a conditioning."""
    return MADE in entry.get("model_conds", {})

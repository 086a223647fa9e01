"""LoRAs that make the image model quick: what their files say of how to sample, in metadata or in their name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .trained import Trained, trained_of

PCM = re.compile(r"pcm_sd15_(?P<cfg>smallcfg|normalcfg)_(?P<steps>[0-9]+)step")
"""Names of the released phased LoRAs (Wang et al. 2024, arXiv 2405.18407), whose tensors are those of any LoRA."""
PCM_LCM = re.compile(r"pcm_sd15_lcmlike")


def about_lora(file_name: str, metadata: Mapping[str, str]) -> str:
    """Return what to set in a sampler for a LoRA of the image model; empty where the file does not say it.

    Raises:
        MotionFileError: Its metadata say what cannot be.
    """
    trained, name = trained_of(metadata), file_name.lower()
    if trained != Trained():
        return f"{trained.about}.\nsample with {trained.sampling or '4 steps, cfg 1, sampler lcm, scheduler simple'}"
    if found := PCM.search(name):
        cfg = "1 to 2" if found["cfg"] == "smallcfg" else "2 to 7"
        return (f"PCM, trained in {int(found['steps'])} phases.\nsample with {int(found['steps'])} steps, cfg {cfg}, "
                "sampler euler, scheduler simple, schedule Stable Diffusion 1.5")
    if PCM_LCM.search(name):
        return "PCM, without phases.\nsample with 4 steps, cfg 1, sampler lcm, schedule LCM"
    return ""

"""A way to sample through the HTTP interface with the demo model that the server keeps."""

from __future__ import annotations

import itertools
from typing import Any

from animatelcm.client.api import ComfyClient, saved_files
from safetensors.torch import load
from torch import Tensor

RUNS = itertools.count(1)


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def sampling(model: str, seed: int, steps: int, frames: int) -> dict[str, Any]:
    """A prompt whose loader has the same inputs each time, so that the host keeps one model for all of them.

    Its text means the same each time, and is another to the host, which would return what it remembers of an equal one.
    """
    return {
        "demo": node("AnimateLCM_LoadDemoModel"),
        "module": node("AnimateLCM_LoadMotionModule", motion_file="demo (embedded)"),
        "motion": node("AnimateLCM_ApplyMotionModule", model=["demo", 0], motion_module=["module", 0],
                       motion_strength=1.0, schedule="auto"),
        "long": node("AnimateLCM_LongVideo", model=["motion", 0], context_length=8, context_overlap=2, loop=False,
                     freenoise=True),
        "text": node("CLIPTextEncode", clip=["demo", 1], text="a red car" + " " * next(RUNS)),
        "latent": node("EmptyLatentImage", width=64, height=64, batch_size=frames),
        "sampled": node("KSampler", model=[model, 0], positive=["text", 0], negative=["text", 0],
                        latent_image=["latent", 0], seed=seed, steps=steps, cfg=1.0, sampler_name="euler",
                        scheduler="normal", denoise=1.0),
        "saved": node("SaveLatent", samples=["sampled", 0], filename_prefix="untouched"),
    }


def latents(client: ComfyClient, seed: int) -> Tensor:
    """Sample single images with the model alone."""
    return latents_of(client, client.run(sampling("demo", seed, steps=2, frames=2)))


def latents_of(client: ComfyClient, outputs: dict[str, Any]) -> Tensor:
    """Return the latents that a prompt of `sampling` has saved."""
    [saved] = saved_files(outputs)
    return load(client.fetch_file(saved))["latent_tensor"]

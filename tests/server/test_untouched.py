"""The server's own model after a run was interrupted or failed: what it samples afterwards is the same, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from animatelcm.client.api import ComfyClient, Progress, RunError, saved_files
from safetensors.torch import load
from torch import Tensor


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def sampling(model: str, seed: int, steps: int, frames: int) -> dict[str, Any]:
    """A prompt whose loader has the same id and inputs each time, so that the host keeps one model for all of them."""
    return {
        "demo": node("AnimateLCM_LoadDemoModel"),
        "module": node("AnimateLCM_LoadMotionModule", motion_file="demo (embedded)"),
        "motion": node("AnimateLCM_ApplyMotionModule", model=["demo", 0], motion_module=["module", 0],
                       motion_strength=1.0, schedule="auto"),
        "long": node("AnimateLCM_LongVideo", model=["motion", 0], context_length=8, context_overlap=2, loop=False,
                     freenoise=True),
        "text": node("CLIPTextEncode", clip=["demo", 1], text="a red square"),
        "latent": node("EmptyLatentImage", width=64, height=64, batch_size=frames),
        "sampled": node("KSampler", model=[model, 0], positive=["text", 0], negative=["text", 0],
                        latent_image=["latent", 0], seed=seed, steps=steps, cfg=1.0, sampler_name="euler",
                        scheduler="normal", denoise=1.0),
        "saved": node("SaveLatent", samples=["sampled", 0], filename_prefix="untouched"),
    }


def latents(client: ComfyClient, seed: int) -> Tensor:
    """Sample single images with the model alone."""
    [saved] = saved_files(client.run(sampling("demo", seed, steps=2, frames=2)))
    return load(client.fetch_file(saved))["latent_tensor"]


def interrupt(client: ComfyClient, model: str = "motion") -> None:
    """Sample a video and POST /interrupt in the middle."""
    prompt = sampling(model, 0, steps=500, frames=16)
    prompt_id = client.queue(prompt)

    def stop(progress: Progress) -> None:
        # The host leaves out some steps when they are quick.
        if progress.step >= 2:
            client.cancel(prompt_id)

    with pytest.raises(RunError, match="interrupted"):
        client.wait(prompt_id, prompt, stop)


def interrupt_in_a_window(client: ComfyClient) -> None:
    interrupt(client, "long")


def fail(client: ComfyClient) -> None:
    """Ask for more frames than the module knows, which only the sampling can find out."""
    with pytest.raises(RunError, match=r"65 frames.*at most 64.*Long Video"):
        client.run(sampling("motion", 0, steps=2, frames=65))


@pytest.mark.parametrize("break_off", [interrupt, interrupt_in_a_window, fail])
def test_model_is_the_same_afterwards(client: ComfyClient, break_off) -> None:
    before = latents(client, seed=1)
    break_off(client)
    # Another seed in between: the host would return what it remembers of the last prompt.
    assert not torch.equal(latents(client, seed=2), before)
    assert torch.equal(latents(client, seed=1), before)

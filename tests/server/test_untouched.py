"""The server's own model after a run was interrupted or failed: what it samples afterwards is the same, bit for bit."""

from __future__ import annotations

import pytest
import torch
from animatelcm.client.api import ComfyClient, Progress, RunError
from animatelcm.tests.server.sampling import latents, sampling


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
    assert not torch.equal(latents(client, seed=2), before)
    assert torch.equal(latents(client, seed=1), before)

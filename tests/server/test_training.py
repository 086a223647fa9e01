"""Training through the HTTP interface, as the shipped examples do it: interrupted, resumed, and sampled with."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from animatelcm.client.api import ComfyClient, Progress, RunError, saved_files
from animatelcm.client.workflow import load, set_value, to_prompt
from animatelcm.tests.server.sampling import latents, latents_of, sampling
from animatelcm.tools.hosts.server import Server
from safetensors import safe_open
from safetensors.torch import load_file

EXAMPLES = Path(__file__).resolve().parents[2] / "example_workflows"
CLIPS = "LoadVideoTextDataSetFromFolder"
"""The host's node that loads captioned clips; its older versions lack it."""
STEPS = 4


@pytest.fixture(autouse=True)
def host_with_clips(client: ComfyClient) -> None:
    if CLIPS not in client.object_info():
        pytest.skip(f"this ComfyUI has no {CLIPS}")


def example(client: ComfyClient, name: str, *changes: str) -> dict[str, Any]:
    prompt = to_prompt(load(EXAMPLES / f"{name}.json"), client.object_info())
    for change in changes:
        set_value(prompt, change)
    return prompt


def lora_training(client: ComfyClient, name: str, steps: int = STEPS) -> dict[str, Any]:
    return example(client, "19 Train Spatial LoRA Demo", f"AnimateLCM_DistillSpatialLoRA.name={name}",
                   f"AnimateLCM_DistillSpatialLoRA.steps={steps}", f"SaveLoRA.prefix=loras/{name}")


def output(server: Server) -> Path:
    return server.log.parent / "output"


def checkpoint(server: Server, name: str) -> dict[str, Any]:
    return torch.load(output(server) / "training" / f"{name}.pt")


def interrupt(client: ComfyClient, prompt: dict[str, Any], step: int) -> None:
    """Run a prompt, and POST /interrupt once it has finished a step."""
    prompt_id = client.queue(prompt)

    def stop(progress: Progress) -> None:
        if progress.node_type.startswith("AnimateLCM_Distill") and progress.step >= step:
            client.cancel(prompt_id)

    with pytest.raises(RunError, match="interrupted"):
        client.wait(prompt_id, prompt, stop)


def test_a_training_that_was_interrupted_goes_on_exactly(client: ComfyClient, server: Server) -> None:
    picture = latents(client, seed=1)
    client.run(lora_training(client, "whole"))
    interrupt(client, lora_training(client, "cut"), step=1)
    assert 1 <= checkpoint(server, "cut")["step"] < STEPS
    client.run(lora_training(client, "cut"))
    whole, cut = (checkpoint(server, name) for name in ("whole", "cut"))
    assert cut["step"] == len(cut["losses"]) == STEPS
    assert cut["losses"] == whole["losses"]
    loras = [load_file(output(server) / "loras" / f"{name}_{STEPS}_steps_00001_.safetensors")
             for name in ("whole", "cut")]
    assert all(torch.equal(tensor, loras[1][key]) for key, tensor in loras[0].items())
    assert torch.equal(latents(client, seed=1), picture)


def test_sampling_right_behind_a_training(client: ComfyClient) -> None:
    alone = latents(client, seed=3)
    training, picture = lora_training(client, "before_sampling", steps=2), sampling("demo", 3, steps=2, frames=2)
    queued = [(client.queue(prompt), prompt) for prompt in (training, picture)]
    _, outputs = [client.wait(prompt_id, prompt) for prompt_id, prompt in queued]
    assert torch.equal(latents_of(client, outputs), alone)


def test_the_examples_follow_one_another(client: ComfyClient, server: Server) -> None:
    client.run(lora_training(client, "demo_spatial_lora", steps=2))
    trained = checkpoint(server, "demo_spatial_lora")
    client.run(example(client, "20 Train Motion Module Demo", "AnimateLCM_DistillSpatialLoRA.steps=2",
                       "AnimateLCM_DistillMotionModule.steps=2"))
    # The first stage was finished: the second graph takes its LoRA from the checkpoint.
    assert checkpoint(server, "demo_spatial_lora")["losses"] == trained["losses"]
    assert len(checkpoint(server, "demo_motion_module")["losses"]) == 2
    lora = "demo_spatial_lora_2_steps_00001_.safetensors"
    [saved] = saved_files(client.run(example(
        client, "21 Sample Trained Files Demo", f"LoraLoaderModelOnly.lora_name={lora}")))
    with av.open(io.BytesIO(client.fetch_file(saved))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 16 and frames[0].std() > 0


def test_a_motion_module_is_tuned_to_the_rolling_sampler(client: ComfyClient, server: Server) -> None:
    """In the graph that distils one, by the other node; the saved file says what it was tuned to."""
    prompt = example(client, "20 Train Motion Module Demo", "AnimateLCM_DistillMotionModule.name=tuned",
                     "AnimateLCM_DistillMotionModule.steps=2", "AnimateLCM_SaveMotionModule.filename_prefix=tuned",
                     "AnimateLCM_LoadMotionModule.motion_file=AnimateLCM_demo_t2v.safetensors")
    [node] = [node for node in prompt.values() if node["class_type"] == "AnimateLCM_DistillMotionModule"]
    taken = client.object_info()["AnimateLCM_AdaptMotionModule"]["input"]["required"]
    node["class_type"] = "AnimateLCM_AdaptMotionModule"
    node["inputs"] = {name: value for name, value in node["inputs"].items() if name in taken} | {"rolling_steps": 4}
    # Its losses were the third output.
    for other in prompt.values():
        for name, value in other["inputs"].items():
            if isinstance(value, list) and prompt.get(value[0]) is node and value[1] == 2:
                other["inputs"][name] = [value[0], 1]
    client.run(prompt)
    assert len(checkpoint(server, "tuned")["losses"]) == 2
    with safe_open(output(server) / "tuned_00001_.safetensors", "pt") as saved:
        assert saved.metadata()["animatelcm.trained"] == "tuned to the Rolling Sampler at 4 steps"

"""Numbers over the frames through a real server: a list of the host, and the host's drawn curve."""

import pytest
import torch
from animatelcm.client.api import ComfyClient, RunError
from animatelcm.tests.server.sampling import latents_of, node, sampling

NUMBERS = (0.0, 1.0, 0.25, 0.5)


def sampled(client: ComfyClient, text: str = "", **curve) -> torch.Tensor:
    """Sample four frames with Motion Control between loader and motion module."""
    prompt = sampling("motion", seed=1, steps=2, frames=4)
    given = {"strength_values": ["values", 0]} if curve else {}
    prompt |= curve | {"control": node(
        "AnimateLCM_MotionControl", motion_module=["module", 0], start_percent=0.0, end_percent=1.0,
        strength_curve=text, **given)}
    prompt["motion"]["inputs"]["motion_module"] = ["control", 0]
    return latents_of(client, client.run(prompt))


def one_after_another(name: str) -> dict:
    """Return nodes that put out the numbers one after another."""
    single = {f"number{i}": node("PrimitiveFloat", value=number) for i, number in enumerate(NUMBERS)}
    return single | {name: node("CreateList", **{f"inputs.input{i}": [f"number{i}", 0] for i in range(len(NUMBERS))})}


def test_a_list_of_the_host_is_one_number_for_each_frame(client: ComfyClient) -> None:
    listed = sampled(client, values=node("AnimateLCM_FrameValues", values=["list", 0], low=0.0, high=1.0),
                     **one_after_another("list"))
    assert torch.equal(listed, sampled(client, "0: 0, 1: 1, 2: 0.25, 3: 0.5"))


def test_without_frame_values_such_a_list_is_refused(client: ComfyClient) -> None:
    with pytest.raises(RunError, match="was given the one number 0.*connect Frame Values in between"):
        sampled(client, **one_after_another("values"))


def test_a_drawn_curve_is_the_same_line_as_key_frames(client: ComfyClient) -> None:
    line = {"points": [[0.0, 1.0], [1.0, 0.25]], "interpolation": "linear"}
    drawn = sampled(client, values=node("CurveEditor", curve=line))
    assert torch.equal(drawn, sampled(client, "0%: 1, 100%: 0.25"))

"""Prompts for real checkpoints, run with the demo model in place of the user's files."""

from __future__ import annotations

from typing import Any

DEMO_NODE = "AnimateLCM_LoadDemoModel"
SIDE = 128
NEGATIVE = "Negative prompt"
"""The title of the node that holds it in the examples."""
PICTURE, CLIP = "demo_image.png", "demo_clip.mp4"
"""Of the examples' inputs."""


def use_demo_model(prompt: dict[str, Any], text: str) -> None:
    """Give a prompt the demo model, its files, its size, a positive and an empty negative prompt, in place."""
    for node in prompt.values():
        kind, inputs = node["class_type"], node["inputs"]
        inputs.update({side: SIDE for side in ("width", "height") if side in inputs})
        if kind == "CheckpointLoaderSimple":
            node["class_type"], node["inputs"] = DEMO_NODE, {}
        elif kind == "LoraLoaderModelOnly":
            inputs.update(lora_name="AnimateLCM_demo_lora.safetensors", strength_model=1.0)
        elif kind == "AnimateLCM_LoadMotionModule":
            inputs["motion_file"] = inputs["motion_file"].replace("AnimateLCM_sd15", "AnimateLCM_demo").replace(
                ".ckpt", ".safetensors")
        elif kind == "CLIPTextEncode":
            inputs["text"] = "" if node.get("_meta", {}).get("title") == NEGATIVE else text
        elif kind == "LoadImage":
            inputs["image"] = PICTURE


def with_demo(prompt: dict[str, Any]) -> dict[str, Any]:
    """Return a blueprint's prompt with the demo model, its picture and its clip in it, and the video saved."""
    prompt = {name: node | {"inputs": dict(node["inputs"])} for name, node in prompt.items()}
    use_demo_model(prompt, "a penguin running left in the snow")
    prompt["picture"] = {"class_type": "LoadImage", "inputs": {"image": PICTURE}}
    prompt["clip"] = {"class_type": "LoadVideo", "inputs": {"file": CLIP}}
    for name, node in list(prompt.items()):
        kind, inputs = node["class_type"], node["inputs"]
        if kind in ("AnimateLCM_ImageToVideo", "AnimateLCM_MatchColour"):
            inputs["reference_image"] = ["picture", 0]
        elif kind == "GetVideoComponents":
            inputs["video"] = ["clip", 0]
        elif kind == "CreateVideo":
            prompt["save"] = {"class_type": "SaveVideo", "inputs": {
                "video": [name, 0], "filename_prefix": "video/blueprint", "format": "auto", "codec": "auto"}}
    return prompt

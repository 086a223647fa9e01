"""What the moving pictures of the help pages are made of: examples, with a socket at one value and at another."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from ...client.workflow import load, set_input, to_prompt
from .gallery import CLIPS, DEMO_NODE, EXAMPLES

PREFIX = "AnimateLCM_"
BETWEEN = "between"
"""Id of a node that is put in."""
Prompt = dict[str, Any]
Values = Mapping[str, Any]
"""Inputs by NODE.INPUT, as batch.py names them."""


@dataclass(frozen=True)
class Between:
    """A node that is put into a link of the example."""

    kind: str
    takes: str
    """Its input for what goes along the link."""
    link: str
    """The input that the link ends in, as NODE.INPUT."""
    inputs: Values = field(default_factory=dict)
    """Its other inputs."""

    def put_into(self, prompt: Prompt) -> None:
        """Put the node in.

        Raises:
            ValueError: There is no such link.
        """
        consumer, _, name = self.link.rpartition(".")
        node = next((node for node in prompt.values() if node["class_type"] == consumer and name in node["inputs"]),
                    None)
        if node is None:
            raise ValueError(f"the example has no input {self.link}")
        prompt[BETWEEN] = {"class_type": self.kind, "inputs": {self.takes: node["inputs"][name], **self.inputs}}
        node["inputs"][name] = [BETWEEN, 0]


@dataclass(frozen=True)
class Compared:
    """Clips of one example that differ in some inputs."""

    example: str
    clips: Mapping[str, Values]
    """What is set for each, by the name that stands above it."""
    always: Values = field(default_factory=dict)
    """What is set for all of them."""
    between: Between | None = None
    suffixes: tuple[str, ...] = CLIPS
    """Of the file that is shown."""

    def prompts(self, known: dict[str, Any]) -> dict[str, Prompt]:
        """Return what makes each of the clips.

        Args:
            known: The server's object_info.
        """
        prompt = to_prompt(load(EXAMPLES / f"{self.example}.json"), known)
        if not any(node["class_type"] == DEMO_NODE for node in prompt.values()):
            use_demo_model(prompt)
        if self.between is not None:
            self.between.put_into(prompt)
        return {name: changed(prompt, {**self.always, **values}) for name, values in self.clips.items()}


def use_demo_model(prompt: Prompt) -> None:
    """Give an example for real checkpoints the demo model, in place."""
    image_to_video = any(node["class_type"] == f"{PREFIX}ImageToVideo" for node in prompt.values())
    for node in prompt.values():
        if node["class_type"] == "CheckpointLoaderSimple":
            node.update(class_type=DEMO_NODE, inputs={})
        if "width" in node["inputs"]:
            node["inputs"].update(width=128, height=128)
    module = f"AnimateLCM_demo_{'i2v' if image_to_video else 't2v'}.safetensors"
    values = {"LoraLoaderModelOnly.lora_name": "AnimateLCM_demo_lora.safetensors",
              "LoraLoaderModelOnly.strength_model": 1.0, f"{PREFIX}LoadMotionModule.motion_file": module,
              "Negative prompt.text": "", "Positive prompt.text": "a penguin running left in the snow",
              "SamplerCustom.noise_seed": 1}
    if image_to_video:
        values |= {"Image to animate.image": "demo_image.png", "Positive prompt.text": "a car driving right at sunset"}
    for place, value in values.items():
        set_input(prompt, place, value)


def changed(prompt: Prompt, values: Values) -> Prompt:
    """Return a copy of a prompt with other inputs."""
    other = deepcopy(prompt)
    for place, value in values.items():
        set_input(other, place, value)
    return other


def over(node: str, socket: str, *values: Any) -> dict[str, Values]:
    """Return clips that differ in one socket, by its name and value."""
    return {f"{socket} {value}": {f"{PREFIX}{node}.{socket}": value} for value in values}


OLD_MODULE, MODULE = ({f"{PREFIX}LoadMotionModule.motion_file": name}
                      for name in ("demo (embedded)", "AnimateLCM_demo_t2v.safetensors"))
DEMO, LONG, ROLLING = "03 Text to Video Demo", "12 Long Video Demo", "14 Rolling Video Demo"
SPRITES, LAYOUT = "18 Sprite Sheet Demo", "06 ControlNet Layout Demo"
FEW_STEPS = "LoraLoaderModelOnly.strength_model"
CLIPS_OF: dict[str, Compared] = {
    "LoadDemoModel": Compared(DEMO, {said: {"Positive prompt.text": said} for said in (
        "a bee flying up at sunset", "a car driving right", "a ghost at night")}),
    "LoadMotionModule": Compared(DEMO, {"many-step, 4 steps": OLD_MODULE, "few-step, 4 steps": MODULE}),
    "TextToVideo": Compared("01 Text to Video", over("TextToVideo", "motion_strength", 0.0, 0.5, 1.0)),
    "ImageToVideo": Compared("02 Image to Video", over("ImageToVideo", "motion_scale", 0.0, 0.8, 1.2)),
    "ApplyMotionModule": Compared(DEMO, over("ApplyMotionModule", "motion_strength", 0.0, 1.0, 1.5)),
    "LongVideo": Compared(LONG, over("LongVideo", "context_overlap", 1, 4, 8)),
    "Scheduler": Compared("01 Text to Video", over("Scheduler", "steps", 1, 2, 4, 8)),
    "Sampler": Compared("01 Text to Video", over("Sampler", "stochasticity", 0.0, 0.5, 1.0),
                        {f"{PREFIX}Sampler.auto": False}),
    "RollingSampler": Compared(ROLLING, over("RollingSampler", "anchors", 0, 4, 8)),
    "RecordVideo": Compared(ROLLING, {"num_frames 64": {f"{PREFIX}RecordVideo.num_frames": 64}}),
    "LoadMotionLoRA": Compared("08 Motion LoRA Demo", over("LoadMotionLoRA", "strength", 0.0, 1.0, 1.5)),
    "MotionControl": Compared(
        DEMO, over("MotionControl", "strength_curve", "0: 1", "0: 1, 15: 0", "0: 0"),
        between=Between(f"{PREFIX}MotionControl", "motion_module", f"{PREFIX}ApplyMotionModule.motion_module",
                        {"start_percent": 0.0, "end_percent": 1.0, "strength_curve": ""})),
    "AttentionScale": Compared("11 Attention Scale Demo", over("AttentionScale", "scale", 0.5, 1.0, 1.5)),
    "ControlNetStrength": Compared(
        LAYOUT, over("ControlNetStrength", "strength_curve", "0: 1", "0: 1, 15: 0", "0: 0"),
        between=Between(f"{PREFIX}ControlNetStrength", "control_net", "ControlNetApplyAdvanced.control_net",
                        {"strength_curve": ""})),
    "FrameValues": Compared("10 Curves Demo", {
        f"low {low:g}, high {high:g}": {f"{PREFIX}FrameValues.low": low, f"{PREFIX}FrameValues.high": high}
        for low, high in ((0.0, 1.0), (0.0, 0.5), (1.0, 0.0))}),
    "PromptSchedule": Compared("09 Prompt Travel Demo", over("PromptSchedule", "interpolation", "linear", "hold")),
    "MatchColour": Compared("02 Image to Video", {"without": {"CreateVideo.images": ["11", 0]}, "with": {}}),
    "SubjectMask": Compared(SPRITES, over("SubjectMask", "threshold", 0.02, 0.2, 0.5)),
    "SpriteSheet": Compared(SPRITES, {"sheet": {}}, suffixes=(".png",)),
    "DistillSpatialLoRA": Compared(DEMO, {"4 steps without it": {FEW_STEPS: 0.0}, "with it": {FEW_STEPS: 1.0}},
                                   OLD_MODULE),
    "DistillMotionModule": Compared(DEMO, {"4 steps, before": OLD_MODULE, "after": MODULE}),
    "AdaptAdapter": Compared("04 Image to Video Demo", {
        "without the image": {f"{PREFIX}ImageToVideo.motion_scale": 0.0}, "with it": {}}),
    "AdaptControlNet": Compared(LAYOUT, {
        f"4 steps, {when}": {"ControlNetLoader.control_net_name": f"AnimateLCM_demo_{name}.safetensors"}
        for when, name in (("before", "layout"), ("after", "layout_few_steps"))}),
}
"""By the node's name."""

"""What the moving pictures of the help pages are made of: examples, with a socket at one value and at another."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from ...client.workflow import load, set_input, to_prompt
from .demo_prompts import DEMO_NODE, use_demo_model
from .gallery import CLIPS, EXAMPLES

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
            use_demo_model(prompt, "a penguin running left in the snow")
        if self.between is not None:
            self.between.put_into(prompt)
        return {name: changed(prompt, {**self.always, **values}) for name, values in self.clips.items()}


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
TEXT, IMAGE = "01 Text to Video", "02 Image to Video"
SEED = {"SamplerCustom.noise_seed": 1}
PICTURED = {"Positive prompt.text": "a car driving right at sunset"}
"""What the picture shows that is animated."""
DEMO, LONG, ROLLING = "03 Text to Video Demo", "12 Long Video Demo", "14 Rolling Video Demo"
SPRITES, LAYOUT = "18 Sprite Sheet Demo", "06 ControlNet Layout Demo"
FEW_STEPS = "LoraLoaderModelOnly.strength_model"
CLIPS_OF: dict[str, Compared] = {
    "LoadDemoModel": Compared(DEMO, {said: {"Positive prompt.text": said} for said in (
        "a bee flying up at sunset", "a car driving right", "a ghost at night")}),
    "LoadMotionModule": Compared(DEMO, {"many-step, 4 steps": OLD_MODULE, "few-step, 4 steps": MODULE}),
    "TextToVideo": Compared(TEXT, over("TextToVideo", "motion_strength", 0.0, 0.5, 1.0), SEED),
    "ImageToVideo": Compared(IMAGE, over("ImageToVideo", "motion_scale", 0.0, 0.8, 1.2), SEED | PICTURED),
    "ApplyMotionModule": Compared(DEMO, over("ApplyMotionModule", "motion_strength", 0.0, 1.0, 1.5)),
    "LongVideo": Compared(LONG, over("LongVideo", "context_overlap", 1, 4, 8)),
    "Scheduler": Compared(TEXT, over("Scheduler", "steps", 1, 2, 4, 8), SEED),
    "Sampler": Compared(TEXT, over("Sampler", "stochasticity", 0.0, 0.5, 1.0), SEED | {f"{PREFIX}Sampler.auto": False}),
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
    "MatchColour": Compared(IMAGE, {"without": {"CreateVideo.images": ["11", 0]}, "with": {}}, SEED | PICTURED),
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

"""The node that says when, at which frames and where a motion module acts."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..host.display import show_text
from .motion import MotionModuleSocket

HIGHEST = 10.0


class MotionControl(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_MotionControl",
            display_name="Motion Control",
            category="AnimateLCM",
            description="Sets in which steps, at which frames and where in the picture a motion module acts.",
            search_aliases=["motion mask", "motion scale", "multival", "start percent", "animatediff keyframe"],
            inputs=[
                MotionModuleSocket.Input("motion_module", tooltip="From Load Motion Module or Load Motion LoRA."),
                io.Float.Input(
                    "start_percent", default=0.0, min=0.0, max=1.0, step=0.001,
                    tooltip="Share of the sampling at which the module begins to act, 0 to 1. 0 is recommended: from "
                            "the first step on."),
                io.Float.Input(
                    "end_percent", default=1.0, min=0.0, max=1.0, step=0.001,
                    tooltip="Share of the sampling at which the module no longer acts, 0 to 1. 1 is recommended: until "
                            "the last step."),
                io.String.Input(
                    "strength_curve", multiline=True, default="",
                    tooltip="Factor on motion_strength for key frames, as FRAME: NUMBER, from 0 to 10 without unit, "
                            "such as 0: 1, 15: 0.5; between them it changes evenly. Empty is recommended: 1 at all."),
                io.Mask.Input(
                    "mask", optional=True,
                    tooltip="Factor on motion_strength for each place, 0 to 1: one mask for all frames, or one for "
                            "each. It is scaled to the video's size. Recommended only where parts shall stay still."),
            ],
            outputs=[MotionModuleSocket.Output(
                display_name="motion_module",
                tooltip="For Apply Motion Module, Image to Video, or another Motion Control, whose factors multiply.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, motion_module, start_percent: float, end_percent: float, strength_curve: str, mask=None
                ) -> io.NodeOutput:
        from ..host.controls import StrengthControl
        from ..keyframes.curve import parse_curve

        curve = parse_curve(strength_curve, 0.0, HIGHEST) if strength_curve.strip() else None
        control = StrengthControl(start_percent, end_percent, curve, mask)
        show_text(cls, f"acts from {start_percent:.0%} to {end_percent:.0%} of the sampling")
        return io.NodeOutput(replace(motion_module, controls=(*motion_module.controls, control)))

"""The nodes that say when, at which frames and where a motion module acts, and how it attends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..host.display import show_text
from .curves import values_input
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
            search_aliases=["motion mask", "effect multival", "multival", "start percent", "animatediff keyframe"],
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
                            "such as 0: 1, 15: 0.5, changing evenly between them. Empty is recommended: 1 everywhere."),
                io.Mask.Input(
                    "mask", optional=True,
                    tooltip="Factor on motion_strength for each place, 0 to 1: one mask for all frames, or one for "
                            "each. It is scaled to the video's size. Recommended only if parts should stay still."),
                values_input("strength_values", "In place of strength_curve, factor on motion_strength, 0 to 10"),
            ],
            outputs=[MotionModuleSocket.Output(
                display_name="motion_module",
                tooltip="For Text to Video, Image to Video, Apply Motion Module, or another Motion Control; their "
                        "factors multiply.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, motion_module, start_percent: float, end_percent: float, strength_curve: str, mask=None,
                strength_values: Any = None) -> io.NodeOutput:
        from ..host.controls import StrengthControl
        from ..host.curves import curve_in

        curve = curve_in(strength_curve, strength_values, "strength", 0.0, HIGHEST)
        control = StrengthControl(start_percent, end_percent, curve, mask)
        show_text(cls, f"acts from {start_percent:.0%} to {end_percent:.0%} of the sampling")
        return io.NodeOutput(replace(motion_module, controls=(*motion_module.controls, control)))


class AttentionScale(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_AttentionScale",
            display_name="Attention Scale",
            category="AnimateLCM",
            description="Sets how sharply the frames of a motion module attend to one another (motion scale).",
            search_aliases=["motion scale", "scale multival", "multival", "amount of motion", "animatediff"],
            inputs=[
                MotionModuleSocket.Input("motion_module", tooltip="From Load Motion Module or Load Motion LoRA."),
                io.Float.Input(
                    "scale", default=1.0, min=0.0, max=HIGHEST, step=0.01,
                    tooltip="Factor on the keys of the attention over time, 0 to 10, without unit. 1 is as trained "
                            "and recommended to begin with; 0.7 to 1.5 is a range to try: less moves less, more keeps "
                            "frames apart."),
                io.String.Input(
                    "scale_curve", default="", optional=True, advanced=True,
                    tooltip="Factor on scale for key frames, as FRAME: NUMBER, from 0 to 10 without unit, such as "
                            "0: 1, 15: 1.3; between them it changes evenly. Empty is recommended: 1 everywhere."),
                values_input("scale_values", "In place of scale_curve, factor on scale, 0 to 10"),
                io.Mask.Input(
                    "mask", optional=True,
                    tooltip="Factor on scale for each place, one mask for all frames, or one for each. It is scaled to "
                            "the video's size. Recommended only if parts should move differently."),
            ],
            outputs=[MotionModuleSocket.Output(
                display_name="motion_module",
                tooltip="For Text to Video, Image to Video, Apply Motion Module, or another Attention Scale; their "
                        "factors multiply.")],
        )

    @classmethod
    def execute(cls, motion_module, scale: float, scale_curve: str = "", scale_values: Any = None, mask=None
                ) -> io.NodeOutput:
        from ..host.controls import Factor, StrengthControl
        from ..host.curves import curve_in

        if not 0 <= scale <= HIGHEST:
            raise ValueError(f"scale is {scale:g}; expected 0 to {HIGHEST:g}, 1 is as trained")
        curve = curve_in(scale_curve, scale_values, "scale", 0.0, HIGHEST)
        control = StrengthControl(attention=Factor("Attention Scale", scale, curve, mask))
        return io.NodeOutput(replace(motion_module, controls=(*motion_module.controls, control)))

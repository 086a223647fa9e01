"""The node that gives a ControlNet another strength at each frame."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .curves import values_input

HIGHEST = 10.0


class ControlNetStrength(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_ControlNetStrength",
            display_name="ControlNet Strength",
            category="AnimateLCM",
            description="Gives a ControlNet or T2I-Adapter a strength of its own at each frame of a video.",
            search_aliases=["controlnet keyframe", "controlnet strength schedule", "latent keyframe"],
            inputs=[
                io.ControlNet.Input("control_net", tooltip="From Load ControlNet Model, or from a loader of another "
                                                           "pack."),
                io.String.Input(
                    "strength_curve", multiline=True, default="",
                    tooltip="Factor on the strength of Apply ControlNet for key frames, as FRAME: NUMBER, from 0 to 10 "
                            "without unit, such as 0: 1, 100%: 0; changing evenly between them. Empty: 1 everywhere."),
                values_input("strength_values", "In place of strength_curve, factor on that strength, 0 to 10"),
            ],
            outputs=[io.ControlNet.Output(tooltip="For Apply ControlNet, whose strength is multiplied.")],
        )

    @classmethod
    def execute(cls, control_net, strength_curve: str = "", strength_values: Any = None) -> io.NodeOutput:
        from ..host.control_strength import with_frame_strength
        from ..host.controls import Factor
        from ..host.curves import curve_in

        curve = curve_in(strength_curve, strength_values, "strength", 0.0, HIGHEST)
        if curve is None:
            return io.NodeOutput(control_net)
        return io.NodeOutput(with_frame_strength(control_net, Factor("ControlNet Strength", curve=curve)))

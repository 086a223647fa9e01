"""The node that puts a LoRA on a motion module."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..host.display import show_text
from ..host.folders import file_state, motion_lora_files, motion_lora_path
from .curves import values_input
from .motion import MotionModuleSocket

HIGHEST = 10.0


class LoadMotionLoRA(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_LoadMotionLoRA",
            display_name="Load Motion LoRA",
            category="AnimateLCM",
            description="Puts a LoRA of the motion module, such as a camera movement, on a motion module.",
            search_aliases=["animatediff lora", "motion lora", "camera", "zoom", "pan", "motiondirector"],
            inputs=[
                MotionModuleSocket.Input(
                    "motion_module", tooltip="From Load Motion Module or another Load Motion LoRA."),
                io.Combo.Input(
                    "lora_file", options=motion_lora_files(),
                    tooltip="A .safetensors or .ckpt file in models/animatediff_motion_lora, as AnimateDiff, "
                            "MotionDirector, diffusers or PEFT save it. One made for this kind of module is "
                            "recommended."),
                io.Float.Input(
                    "strength", default=1.0, min=-HIGHEST, max=HIGHEST, step=0.05,
                    tooltip="Factor on what the LoRA adds, -10 to 10, without unit. 1 is as trained and recommended; 0 "
                            "leaves the LoRA out."),
                io.String.Input(
                    "strength_curve", default="", optional=True, advanced=True,
                    tooltip="Factor on strength for key frames, as FRAME: NUMBER, from -10 to 10 without unit, such as "
                            "0: 0, 15: 1; between them it changes evenly. Empty is recommended if nothing should "
                            "change: with a curve each step takes a little longer."),
                values_input("strength_values", "In place of strength_curve, factor on strength, -10 to 10"),
            ],
            outputs=[MotionModuleSocket.Output(
                display_name="motion_module",
                tooltip="For Text to Video, Image to Video, Apply Motion Module, Motion Control, or another Load "
                        "Motion LoRA.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, lora_file: str, **others: Any) -> str:
        return file_state(motion_lora_path, lora_file)

    @classmethod
    def execute(cls, motion_module, lora_file: str, strength: float, strength_curve: str = "",
                strength_values: Any = None) -> io.NodeOutput:
        from ..host.curves import curve_in
        from ..host.motion_lora import with_motion_lora

        curve = curve_in(strength_curve, strength_values, "strength", -HIGHEST, HIGHEST)
        changed, message = with_motion_lora(motion_module, motion_lora_path(lora_file), strength, curve)
        show_text(cls, message)
        return io.NodeOutput(changed)

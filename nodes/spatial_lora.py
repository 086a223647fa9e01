"""The node that loads a spatial LoRA for training."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.display import show_text
from ..host.folders import file_state
from ..host.trained import load_lora, lora_files, lora_message, lora_path
from .training_sockets import CATEGORY, LoraSocket


class LoadSpatialLoRA(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_LoadSpatialLoRA",
            display_name="Load Spatial LoRA",
            category=CATEGORY,
            description="Loads a spatial LoRA from its file, so that Distill Motion Module can start from it.",
            search_aliases=["lora_model", "lora weights", "load trained lora"],
            inputs=[io.Combo.Input(
                "lora_file", options=lora_files(),
                tooltip="A file in models/loras, or in output/loras, where Save LoRA Weights puts it. Recommended: the "
                        "one that Distill Spatial LoRA or train.py made from the same checkpoint.")],
            outputs=[LoraSocket.Output(
                display_name="lora", tooltip="For Distill Motion Module. To sample with it, use Load LoRA.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, lora_file: str) -> str:
        return file_state(lora_path, lora_file)

    @classmethod
    def execute(cls, lora_file: str) -> io.NodeOutput:
        lora = load_lora(lora_file)
        if message := lora_message(lora_file):
            show_text(cls, message)
        return io.NodeOutput(lora)

"""The node that loads the embedded demo model."""

from __future__ import annotations

from comfy_api.latest import io


class LoadDemoModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_LoadDemoModel",
            display_name="Load Demo Model",
            category="AnimateLCM",
            description="Loads the tiny model that comes with this pack: animals, vehicles and people on the move, "
                        "128 x 128 pixels.",
            search_aliases=["animatelcm example", "test model", "tiny"],
            inputs=[],
            outputs=[
                io.Model.Output(tooltip="For Text to Video, Image to Video or Apply Motion Module, with a motion file "
                                        "of the demo model."),
                io.Clip.Output(tooltip="For CLIP Text Encode. Say for example: a penguin running left in the snow."),
                io.Vae.Output(tooltip="For VAE Decode and VAE Encode."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        from ..demo.model import load_demo_model

        return io.NodeOutput(*load_demo_model())

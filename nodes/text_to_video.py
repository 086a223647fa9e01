"""The node that makes a video of words: motion, size and frames in one place."""

from __future__ import annotations

from comfy_api.latest import io

from .motion import MotionModuleSocket, applied_without_image, schedule_input, strength_input
from .video_size import check_size, size_inputs


class TextToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_TextToVideo",
            display_name="Text to Video",
            category="AnimateLCM",
            description="Makes a Stable Diffusion 1.5 MODEL sample a video, and makes the empty latent of the video.",
            search_aliases=["t2v", "txt2vid", "text2video", "txt2video", "animatediff", "animatelcm", "evolved",
                            "gif", "animation", "empty latent video"],
            inputs=[
                io.Model.Input("model", tooltip="A Stable Diffusion 1.5 MODEL, before or after its LoRAs."),
                MotionModuleSocket.Input("motion_module", tooltip="From Load Motion Module."),
                *size_inputs(),
                strength_input(advanced=True),
                schedule_input(advanced=True),
            ],
            outputs=[
                io.Model.Output(tooltip="For any sampler. After a run the node shows the steps, cfg and sampler that "
                                        "the motion file was made for."),
                io.Latent.Output(tooltip="Empty frames of the video's size, for the sampler."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, motion_module, width: int, height: int, num_frames: int, motion_strength: float,
                schedule: str) -> io.NodeOutput:
        from ..host.sizes import empty_frames

        check_size(width, height, num_frames)
        applied = applied_without_image(cls, model, motion_module, motion_strength, schedule)
        return io.NodeOutput(applied, {"samples": empty_frames(width, height, num_frames)})

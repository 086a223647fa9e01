"""The node that encodes prompts which change over the frames."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..host.display import show_text
from ..keyframes.travel import INTERPOLATIONS
from .curves import values_input
from .video_size import MOST_FRAMES


class PromptSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_PromptSchedule",
            display_name="Prompt Schedule",
            category="AnimateLCM",
            description="Encodes prompts that change over the frames of a video (prompt travel).",
            search_aliases=["prompt travel", "batch prompt schedule", "prompt per frame", "fizznodes", "pre_text",
                            "app_text"],
            inputs=[
                io.Clip.Input("clip", tooltip="From Load Checkpoint, or after its LoRAs."),
                io.String.Input(
                    "text", multiline=True, dynamic_prompts=True, default="0: spring,\n8: summer",
                    tooltip="A prompt for each key frame, as FRAME: PROMPT, one a line or separated by commas. Frames "
                            "are counted from 0; 50% and max_f-1 are relative to the video's length. Prompts can "
                            "contain commas; in double quotes, anything. Lines before the first key frame and after "
                            "the last belong to every prompt."),
                io.Int.Input(
                    "num_frames", default=16, min=1, max=MOST_FRAMES,
                    tooltip=f"Frames of the video, 1 to {MOST_FRAMES}: as many as the latent has. 16 is recommended, "
                            "which the modules were trained with."),
                io.Combo.Input(
                    "interpolation", options=list(INTERPOLATIONS), default="linear",
                    tooltip="Between key frames: 'linear' changes evenly from one prompt to the next and is "
                            "recommended, 'hold' keeps a prompt until the frame of the next one."),
                io.String.Input(
                    "prefix", optional=True, default="", dynamic_prompts=True,
                    tooltip="Text that is put before every prompt, such as a style. Empty: none."),
                io.String.Input(
                    "suffix", optional=True, default="", dynamic_prompts=True,
                    tooltip="Text that is put after every prompt, such as the trigger word of a LoRA. Empty: none."),
                values_input(
                    "position_values",
                    "Where in the schedule each frame is, from 0, its first frame, to 1, its last, instead of moving "
                    "on evenly"),
            ],
            outputs=[io.Conditioning.Output(tooltip="For the positive or negative input of any sampler.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, clip, text: str, num_frames: int, interpolation: str, prefix: str = "", suffix: str = "",
                position_values: Any = None) -> io.NodeOutput:
        from ..host.curves import curve_in
        from ..host.prompts import encode_schedule

        if clip is None:
            raise ValueError("the checkpoint has no text encoder; connect a Stable Diffusion 1.5 checkpoint's CLIP")
        position = curve_in("", position_values, "position", 0.0, 1.0)
        conditioning, lines = encode_schedule(clip, text, num_frames, interpolation, prefix or "", suffix or "",
                                              position)
        show_text(cls, lines)
        return io.NodeOutput(conditioning)

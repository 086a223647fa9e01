"""The node for videos of more frames than a motion module knows."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.display import show_text


class LongVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_LongVideo",
            display_name="Long Video",
            category="AnimateLCM",
            description="Makes a MODEL sample a video of any length, in overlapping windows of few frames.",
            search_aliases=["context windows", "context options", "animatediff context", "evolved", "loop",
                            "freenoise"],
            inputs=[
                io.Model.Input("model", tooltip="From Text to Video, Image to Video or Apply Motion Module."),
                io.Int.Input(
                    "context_length", default=16, min=2, max=256,
                    tooltip="Frames of a window, 2 to 256. 16 is recommended, which the modules were trained with. A "
                            "video of no more frames is sampled in one piece."),
                io.Int.Input(
                    "context_overlap", default=4, min=1, max=255,
                    tooltip="Frames that a window shares with the next one, 1 to context_length - 1. 4 is recommended; "
                            "8 blends more softly and takes half as long again."),
                io.Boolean.Input(
                    "loop", default=False,
                    tooltip="Whether the last frame leads back to the first. The video needs more frames than "
                            "context_length. Off is recommended for all but loops."),
                io.Boolean.Input(
                    "freenoise", default=True,
                    tooltip="Whether all windows start from the same noise in another order (FreeNoise), so that the "
                            "scene changes less from window to window. On is recommended."),
            ],
            outputs=[io.Model.Output(tooltip="For any sampler. Memory is that of one window, however long the video.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, context_length: int, context_overlap: int, loop: bool, freenoise: bool) -> io.NodeOutput:
        from ..host.long_video import long_video

        windowed = long_video(model, context_length, context_overlap, loop, freenoise)
        work = context_length / (context_length - context_overlap)
        show_text(cls, f"windows of {context_length} frames, every {context_length - context_overlap} frames\n"
                       f"takes {work:.2f} times as long as one piece would")
        return io.NodeOutput(windowed)

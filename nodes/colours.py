"""The node that gives the frames of a video the colours of an image."""

from __future__ import annotations

from comfy_api.latest import io


class MatchColour(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_MatchColour",
            display_name="Match Colour",
            category="AnimateLCM",
            description="Gives the frames of an animated image the saturation and brightness of the image.",
            search_aliases=["match color", "color correction", "adjust colors", "animatelcm i2v colour", "hsv"],
            inputs=[
                io.Image.Input("images", tooltip="The frames, from VAE Decode."),
                io.Image.Input(
                    "reference_image", tooltip="The image that Image to Video was given, of any size; or one for each "
                                               "frame. What would be cut off to fit the frames is ignored."),
            ],
            outputs=[io.Image.Output(tooltip="The frames, for Create Video.")],
        )

    @classmethod
    def execute(cls, images, reference_image) -> io.NodeOutput:
        from ..host.colours import match_colours

        return io.NodeOutput(match_colours(images, reference_image))

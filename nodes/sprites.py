"""Nodes that make sprites of a clip."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.display import show_text

MOST_COLUMNS = 64


class SubjectMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_SubjectMask",
            display_name="Subject Mask",
            category="AnimateLCM",
            description="Finds the subject in front of a plain background, or of one that stays still, without a "
                        "model.",
            search_aliases=["remove background", "transparent background", "matte", "alpha", "difference key"],
            inputs=[
                io.Image.Input("images", tooltip="The frames, from VAE Decode."),
                io.Combo.Input(
                    "background_kind", options=["plain", "still"], default="plain",
                    tooltip="'plain': a background of one colour, taken from the edges, recommended for sprites. "
                            "'still': a picture that stays the same, made of what each place shows most of the time, "
                            "for a subject that moves around."),
                io.Float.Input(
                    "threshold", default=0.1, min=0.0, max=1.0, step=0.01,
                    tooltip="Difference from the background, 0 to 1, up to which a place counts as background. 0.05 to "
                            "0.2 is recommended: more if the background flickers."),
                io.Float.Input(
                    "softness", default=0.1, min=0.0, max=1.0, step=0.01,
                    tooltip="Range of differences above threshold, 0 to 1, in which the mask rises to 1. 0.05 to 0.2 "
                            "is recommended; 0 gives hard edges."),
                io.Image.Input(
                    "background", optional=True,
                    tooltip="The background alone, one image of the frames' size, in place of background_kind. "
                            "Recommended if neither kind fits."),
            ],
            outputs=[io.Mask.Output(
                tooltip="A mask for each frame, 1 for the subject: for Sprite Sheet, and inverted for Join Image with "
                        "Alpha.")],
        )

    @classmethod
    def execute(cls, images, background_kind: str, threshold: float, softness: float, background=None
                ) -> io.NodeOutput:
        from ..host.sprites import subject_mask

        return io.NodeOutput(subject_mask(images, background_kind, threshold, softness, background))


class SpriteSheet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_SpriteSheet",
            display_name="Sprite Sheet",
            category="AnimateLCM",
            description="Puts the frames of a clip on one image with transparency, for games.",
            search_aliases=["spritesheet", "image grid", "sprite", "transparent", "game", "gif", "apng"],
            inputs=[
                io.Image.Input("images", tooltip="The frames, from VAE Decode."),
                io.Int.Input(
                    "columns", default=0, min=0, max=MOST_COLUMNS,
                    tooltip=f"Frames in a row, 0 to {MOST_COLUMNS}. 0 is recommended: about as many rows as columns."),
                io.Mask.Input(
                    "mask", optional=True,
                    tooltip="1 for the visible parts: one mask, or one for each frame, from Subject Mask or Remove "
                            "Background. Without it the frames keep their own transparency."),
            ],
            outputs=[
                io.Image.Output(
                    display_name="sheet", tooltip="One image with transparency, for Save Image, which writes a PNG."),
                io.Image.Output(
                    display_name="frames",
                    tooltip="The frames with transparency, for Save Animated WEBP and Save Animated PNG."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, images, columns: int, mask=None) -> io.NodeOutput:
        from ..host.sprites import sheet_of, with_alpha

        if columns < 0:
            raise ValueError(f"columns is {columns}; expected 0 for about as many rows as columns, or more")
        frames = with_alpha(images, mask)
        sheet = sheet_of(frames, columns)
        height, width = frames.shape[1:3]
        show_text(cls, f"{len(frames)} frames of {width} x {height} pixels\n{sheet.shape[2] // width} columns, "
                       f"{sheet.shape[1] // height} rows")
        return io.NodeOutput(sheet, frames)

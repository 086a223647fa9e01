"""The socket for numbers over the frames, and the node that brings them into a range."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..host.display import show_text

FrameValuesSocket = io.Custom("ANIMATELCM_FRAME_VALUES")
FloatsSocket = io.Custom("FLOATS")
"""Other packs' name for a list of numbers, beside FLOAT."""
LOWEST, HIGHEST = -100.0, 100.0


def values_input(name: str, what: str, optional: bool = True) -> io.MultiType.Input:
    """Declare a socket for one number for each frame, which `curve_of` reads.

    Args:
        what: What the numbers are, with their range, for the tooltip.
    """
    return io.MultiType.Input(
        name, types=[FrameValuesSocket, io.Float, FloatsSocket, io.Curve], optional=optional,
        tooltip=f"{what}: a list with one number for each frame, such as another pack's audio envelope, the curve of "
                "Curve Editor, which covers the whole video, or Frame Values.")


class FrameValues(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_FrameValues",
            display_name="Frame Values",
            category="AnimateLCM",
            description="Brings a list of numbers or a drawn curve into the range that another node needs.",
            search_aliases=["float list", "audio envelope", "amplitude", "audio reactive", "curve", "remap", "animate"],
            is_input_list=True,
            inputs=[
                values_input("values", "Numbers, 0 to 1 as a rule", optional=False),
                io.Float.Input(
                    "low", default=0.0, min=LOWEST, max=HIGHEST, step=0.01,
                    tooltip="What 0 becomes, -100 to 100, without unit. 0 leaves it and is recommended to begin with."),
                io.Float.Input(
                    "high", default=1.0, min=LOWEST, max=HIGHEST, step=0.01,
                    tooltip="What 1 becomes, -100 to 100, without unit; all other numbers are scaled in proportion. 1 "
                            "leaves it and is recommended to begin with; a number below low turns the curve upside "
                            "down."),
            ],
            outputs=[FrameValuesSocket.Output(
                display_name="values", tooltip="For every socket of this pack whose name ends in values.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, values: list[Any], low: list[float], high: list[float]) -> io.NodeOutput:
        from ..host.curves import describe, scaled

        curve = scaled(values, low[0], high[0])
        show_text(cls, describe(curve))
        return io.NodeOutput(curve)

"""The nodes that tune a ControlNet to a few-step model, and save it."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.display import show_text
from .motion import MotionModuleSocket
from .training_sockets import (
    CATEGORY,
    LOSS_OUTPUTS,
    data_inputs,
    frames_input,
    own_schedule_input,
    request_from,
    run_inputs,
    run_on,
)


class AdaptControlNet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_AdaptControlNet",
            display_name="Adapt ControlNet",
            category=CATEGORY,
            description="Tunes an adapter, a ControlNet, to a model that works in few steps, without a teacher.",
            search_aliases=["train controlnet", "layout control", "teacher-free adaptation"],
            is_input_list=True,
            inputs=[
                io.Model.Input("model", tooltip="A MODEL that works in few steps: with its spatial LoRA, without a "
                                                "motion module; it stays as it is."),
                io.ControlNet.Input("control_net", tooltip="From Load ControlNet Model: a ControlNet or a ControlNet-"
                                                           "LoRA for Stable Diffusion 1.5; it stays as it is."),
                *data_inputs("clips, or images if there is no motion module", "each"),
                io.Image.Input("hints", tooltip="What the ControlNet follows, such as depth: for each clip a video of "
                                                "as many frames, in the same order; values 0 to 1."),
                *run_inputs("control_net", own_schedule_input()),
                frames_input(),
                MotionModuleSocket.Input("motion_module", optional=True,
                                         tooltip="A few-step motion module, which stays as it is. Recommended if the "
                                                 "ControlNet is for videos; without it single frames are used."),
            ],
            outputs=[
                io.ControlNet.Output(display_name="control_net", tooltip="For Apply ControlNet and Save ControlNet."),
                *LOSS_OUTPUTS,
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, control_net, latents, positive, negative, hints, num_frames, motion_module=(None,),
                **settings) -> io.NodeOutput:
        from ..host.training.control_nets import adapt_control_net
        from ..host.training.dataset import NodeData

        motion = motion_module[0]
        request = request_from("adapt", settings, num_frames[0] if motion is not None else 1)
        data, run = NodeData(latents, positive, negative[0], hints), run_on(cls, model[0], settings)
        adapted, losses = adapt_control_net(model[0], motion, control_net[0], data, request, run)
        return io.NodeOutput(adapted, {"loss": losses}, len(losses))


class SaveControlNet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_SaveControlNet",
            display_name="Save ControlNet",
            category=CATEGORY,
            description="Saves a ControlNet as a file in the output folder.",
            search_aliases=["export controlnet"],
            is_output_node=True,
            inputs=[
                io.ControlNet.Input("control_net", tooltip="From Adapt ControlNet."),
                io.String.Input(
                    "filename_prefix", default="controlnet/AnimateLCM",
                    tooltip="Folder and beginning of the file's name, within the output folder. Load ControlNet Model "
                            "lists what is in output/controlnet, so the default folder is recommended."),
            ],
            outputs=[],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, control_net, filename_prefix: str) -> io.NodeOutput:
        from ..host.training.control_nets import save_control_net

        path = save_control_net(control_net, filename_prefix)
        show_text(cls, f"saved as {path.name}")
        return io.NodeOutput()

"""The nodes that distil a few-step model from the user's own, and the one that saves it."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..host.display import show_text
from ..training.config import INITS, TUNING_STEPS
from .motion import MotionModuleSocket
from .training_sockets import (
    CATEGORY,
    LOSS_OUTPUTS,
    LoraSocket,
    data_inputs,
    frames_input,
    method_inputs,
    own_schedule_input,
    request_from,
    run_inputs,
    run_on,
    steps_input,
)

IMAGE_ENCODER, BOTH = "image encoder", "image encoder and motion module"


class DistillSpatialLoRA(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_DistillSpatialLoRA",
            display_name="Distill Spatial LoRA",
            category=CATEGORY,
            description="Trains a spatial LoRA, with which a Stable Diffusion 1.5 MODEL makes images in few steps.",
            search_aliases=["train lcm lora", "consistency distillation", "animatelcm training"],
            is_input_list=True,
            inputs=[
                io.Model.Input("model", tooltip="The MODEL to distil, with its LoRAs; it stays as it is."),
                *data_inputs("images, or clips from which single frames are taken", "each", guided=True),
                *run_inputs("spatial_lora"),
                *method_inputs(),
            ],
            outputs=[
                LoraSocket.Output(display_name="lora", tooltip="For Distill Motion Module, the stock Load LoRA Model "
                                                               "and Save LoRA Weights."),
                *LOSS_OUTPUTS,
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, latents, positive, negative, **settings) -> io.NodeOutput:
        from ..host.training.dataset import NodeData
        from ..host.training.runs import distil_spatial_lora, trained_by

        request = request_from("image", settings)
        data, run = NodeData(latents, positive, negative[0]), run_on(cls, model[0], settings)
        lora, losses = distil_spatial_lora(model[0], data, request, run)
        if sampling := trained_by(request.config.distillation).sampling:
            show_text(cls, f"trained: sample with {sampling}")
        return io.NodeOutput(lora, {"loss": losses}, len(losses))


class DistillMotionModule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_DistillMotionModule",
            display_name="Distill Motion Module",
            category=CATEGORY,
            description="Trains a motion module that makes videos in few steps, from one that needs many.",
            search_aliases=["train animatelcm", "train motion module", "video consistency distillation"],
            is_input_list=True,
            inputs=[
                io.Model.Input("model", tooltip="The MODEL that the spatial LoRA was distilled from, without that "
                                                "LoRA; it stays as it is."),
                MotionModuleSocket.Input("motion_module", tooltip="The teacher's, from Load Motion Module, such as "
                                                                  "AnimateDiff v2; it stays as it is."),
                *data_inputs("clips", "each", guided=True),
                *run_inputs("motion_module"),
                frames_input(),
                LoraSocket.Input("lora", optional=True,
                                 tooltip="From Distill Spatial LoRA or Load Spatial LoRA. Needed unless 'init' is "
                                         "'none' or 'decoupled' is off."),
                io.Combo.Input(
                    "init", options=list(INITS), default="student", advanced=True,
                    tooltip="Which networks have the spatial LoRA at the start. 'student' is recommended: the target "
                            "receives it little by little, as in the paper."),
                io.Boolean.Input(
                    "decoupled", default=True, advanced=True,
                    tooltip="On is recommended, as in the paper: motion alone is trained. Off trains the LoRA and the "
                            "motion module at once, on clips."),
                *method_inputs(),
                io.String.Input(
                    "bases", multiline=True, default="", optional=True, advanced=True,
                    tooltip="LoRAs of styles, one a line, as NAME or NAME: STRENGTH, such as ink.safetensors: 0.8; or "
                            "folders of them in models/loras. Each batch is trained on one of them or on the MODEL, so "
                            "that the motion module fits many styles. Empty is recommended for a first run."),
            ],
            outputs=[
                MotionModuleSocket.Output(display_name="motion_module",
                                          tooltip="For Text to Video, Apply Motion Module and Save Motion Module."),
                LoraSocket.Output(display_name="lora", tooltip="The spatial LoRA that goes with it: the one given, or "
                                                               "the trained one if 'decoupled' is off."),
                *LOSS_OUTPUTS,
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, motion_module, latents, positive, negative, num_frames, init, decoupled, lora=(None,),
                bases=("",), **settings) -> io.NodeOutput:
        from ..host.trained import lora_path
        from ..host.training.bases import load_bases, named_bases
        from ..host.training.dataset import NodeData
        from ..host.training.runs import distil_motion_module

        request = request_from("motion", settings, num_frames[0]).distilling(init[0], decoupled[0])
        request = replace(request, bases=tuple(load_bases(model[0], named_bases(bases[0].splitlines(), lora_path))))
        data, run = NodeData(latents, positive, negative[0]), run_on(cls, model[0], settings)
        trained, lora, losses = distil_motion_module(model[0], motion_module[0], lora[0], data, request, run)
        return io.NodeOutput(trained, lora or {}, {"loss": losses}, len(losses))


class AdaptAdapter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_AdaptAdapter",
            display_name="Adapt Adapter",
            category=CATEGORY,
            description="Trains an adapter, the image encoder of a few-step motion module, without a teacher.",
            search_aliases=["train image to video", "train i2v", "teacher-free adaptation"],
            is_input_list=True,
            inputs=[
                io.Model.Input("model", tooltip="A MODEL that works in few steps: with its spatial LoRA, without a "
                                                "motion module; it stays as it is."),
                MotionModuleSocket.Input("motion_module", tooltip="A few-step motion module. If it has an image "
                                                                  "encoder, that one is trained further; otherwise a "
                                                                  "new one is made."),
                *data_inputs("clips, whose first frame is the image to follow", "each"),
                *run_inputs("image_to_video", own_schedule_input()),
                frames_input(),
                io.Combo.Input(
                    "train", options=[IMAGE_ENCODER, BOTH], default=BOTH,
                    tooltip="What is trained. Both are recommended; the image encoder alone leaves the motion module "
                            "as it is."),
            ],
            outputs=[
                MotionModuleSocket.Output(display_name="motion_module",
                                          tooltip="For Image to Video and Save Motion Module."),
                *LOSS_OUTPUTS,
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, motion_module, latents, positive, negative, num_frames, train, **settings
                ) -> io.NodeOutput:
        from ..host.training.dataset import NodeData
        from ..host.training.runs import train_image_encoder

        request = request_from("adapt", settings, num_frames[0])
        data, run = NodeData(latents, positive, negative[0]), run_on(cls, model[0], settings)
        trained, losses = train_image_encoder(model[0], motion_module[0], train[0] == BOTH, data, request, run)
        return io.NodeOutput(trained, {"loss": losses}, len(losses))


class AdaptMotionModule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_AdaptMotionModule",
            display_name="Adapt Motion Module",
            category=CATEGORY,
            description="Tunes a few-step motion module to the Rolling Sampler, without a teacher.",
            search_aliases=["train rolling", "tune fifo", "endless video", "teacher-free adaptation"],
            is_input_list=True,
            inputs=[
                io.Model.Input("model", tooltip="A MODEL that works in few steps: with its spatial LoRA, without a "
                                                "motion module; it stays as it is."),
                MotionModuleSocket.Input("motion_module", tooltip="A few-step motion module; it stays as it is."),
                *data_inputs("clips, best those that this model itself has made in few steps", "each"),
                *run_inputs("rolling_module", own_schedule_input(), steps_input(
                    f"0 takes {TUNING_STEPS}, which is recommended: they are enough to tune with.")),
                frames_input(),
                io.Int.Input(
                    "rolling_steps", default=4, min=1, max=16,
                    tooltip="Steps that the Rolling Sampler will take, 1 to 16: noise levels in its window. 4 is "
                            "recommended."),
            ],
            outputs=[
                MotionModuleSocket.Output(display_name="motion_module",
                                          tooltip="For Text to Video and Save Motion Module."),
                *LOSS_OUTPUTS,
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, motion_module, latents, positive, negative, num_frames, rolling_steps, **settings
                ) -> io.NodeOutput:
        from ..host.training.dataset import NodeData
        from ..host.training.runs import tune_motion_module

        request = request_from("adapt", settings, num_frames[0], TUNING_STEPS).for_rolling(rolling_steps[0])
        data, run = NodeData(latents, positive, negative[0]), run_on(cls, model[0], settings)
        trained, losses = tune_motion_module(model[0], motion_module[0], data, request, run)
        return io.NodeOutput(trained, {"loss": losses}, len(losses))


class SaveMotionModule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_SaveMotionModule",
            display_name="Save Motion Module",
            category=CATEGORY,
            description="Saves a motion module, its image encoder included, as a file in the output folder.",
            search_aliases=["export motion module", "save animatelcm"],
            is_output_node=True,
            inputs=[
                MotionModuleSocket.Input("motion_module", tooltip="From a training node or Load Motion Module."),
                io.String.Input(
                    "filename_prefix", default="motion_modules/AnimateLCM",
                    tooltip="Folder and beginning of the file's name, within the output folder. Load Motion Module "
                            "lists what is in output/motion_modules, so the default folder is recommended."),
            ],
            outputs=[],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, motion_module, filename_prefix: str) -> io.NodeOutput:
        from ..host.saving import save_motion

        path = save_motion(motion_module, filename_prefix)
        show_text(cls, f"saved as {path.name}")
        return io.NodeOutput()

"""The nodes that distil a few-step model from the user's own, and the one that saves it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..host.display import show_text
from ..samplers.schedules import SCHEDULES
from ..training.config import INITS, PRESETS
from ..training.methods import METHODS
from .motion import MotionModuleSocket

if TYPE_CHECKING:
    from ..host.training.node_run import NodeRun
    from ..host.training.runs import Request

CATEGORY = "AnimateLCM/training"
LoraSocket, LossSocket = io.Custom("LORA_MODEL"), io.Custom("LOSS_MAP")
DISTILLED = [name for name, schedule in SCHEDULES.items() if schedule.original_steps is not None]
IMAGE_ENCODER, BOTH = "image encoder", "image encoder and motion module"
MOST = 1_000_000
MOST_PHASES = 50
"""As many as the timesteps of the coarsest grid."""


def data_inputs(what: str, each: str, guided: bool = False) -> list[io.Input]:
    """Return the sockets for what Make Training Dataset gives; `guided` where there is a teacher with guidance."""
    use = ("empty text: what the guidance of the teacher leads away from." if guided else
           "empty text. It has to be connected, but has no effect: there is no teacher to guide.")
    return [
        io.Latent.Input("latents", tooltip=f"From Make Training Dataset: {what}, the list of all of them."),
        io.Conditioning.Input("positive", tooltip=f"From Make Training Dataset: the encoded caption of {each}."),
        io.Conditioning.Input("negative", tooltip=f"CLIP Text Encode with an {use}"),
    ]


def run_inputs(default_name: str, schedule: str) -> list[io.Input]:
    """Return the sockets that every training node has."""
    return [
        io.String.Input(
            "name", default=default_name,
            tooltip="Name of the run. Its checkpoint is output/training/<name>.pt; a run of the same name goes on from "
                    "it, also after an interrupt. Other data, models or settings are refused under the same name. "
                    "Recommended: a new name for each of them."),
        io.Combo.Input(
            "preset", options=list(PRESETS), default="sd15-24gb",
            tooltip="Batch, rates and precision. 'sd15-24gb' is recommended for one GPU of 24 GB, 'sd15-80gb' for a "
                    "large one, 'paper' for several; 'tiny' is for the demo model."),
        io.Int.Input(
            "steps", default=0, min=0, max=MOST,
            tooltip="Total number of steps, with those before a resume, 0 to 1,000,000. 0 takes the preset's number, "
                    "which is recommended; a few hundred already show whether it works. A higher number than before "
                    "goes on from there."),
        io.Float.Input(
            "learning_rate", default=0.0, min=0.0, max=1.0, step=0.000001, round=0.0000001,
            tooltip="Rate of the optimiser (AdamW), 0 to 1, without unit. 0 takes the preset's, which is recommended; "
                    "halve it if the loss rises."),
        io.Int.Input(
            # Without the editor's "control after generate", whose new seed for each queued run no resume would survive.
            "seed", default=0, min=0, max=2**32 - 1, control_after_generate=False,
            tooltip="Decides the data and the noise of every step, 0 to 4294967295; any number works."),
        io.Int.Input(
            "preview_every", default=100, min=0, max=MOST,
            tooltip="Training steps between two previews on the node, 0 to 1,000,000; 100 is recommended, 0 shows "
                    "none."),
        io.Combo.Input(
            "schedule", options=DISTILLED, default=schedule, advanced=True,
            tooltip="Noise schedule and distillation grid to train on, and later to sample with. The default is "
                    "recommended: the one that the authors' own modules have."),
    ]


def frames_input() -> io.Int.Input:
    """Return the socket for the frames of a clip."""
    return io.Int.Input(
        "num_frames", default=16, min=2, max=64,
        tooltip="Frames of a clip in training, 2 to 64; from longer clips a random part is taken. 16 is recommended, "
                "as in the paper.")


def method_inputs() -> list[io.Input]:
    """Return the sockets for the way to distil, after all others, so that those of saved graphs keep their places."""
    return [
        io.Combo.Input(
            "method", options=list(METHODS), default="paper", optional=True,
            tooltip="Way to distil. 'paper' is AnimateLCM's; 'phased' takes as many steps as it has phases, without "
                    "fresh noise; 'phased + motion' also trains on what moves, and is like 'phased' for images. "
                    "'paper' is recommended for a first run."),
        io.Int.Input(
            "phases", default=0, min=0, max=MOST_PHASES, optional=True, advanced=True,
            tooltip="Parts of the timesteps, 0 to 50, and the steps to sample with later. 0 takes the method's, which "
                    "is recommended: 1 for 'paper', 4 for the others."),
        io.Boolean.Input(
            "guided", default=True, optional=True, advanced=True,
            tooltip="On is recommended: guidance becomes part of the weights; sample at cfg 1 later. Off: the teacher "
                    "has no guidance, and a tenth of the captions is left out; cfg 2 to 7 and negative prompts work "
                    "later."),
    ]


LOSS_OUTPUTS = [
    LossSocket.Output(display_name="loss_map", tooltip="Loss of every step, for Plot Loss Graph."),
    io.Int.Output(display_name="steps", tooltip="Steps finished, for Save LoRA Weights."),
]


def request_from(stage: str, settings: dict, num_frames: int = 1) -> Request:
    """Return what the sockets of `run_inputs` ask for; the node takes lists, so each is a list of one."""
    name, preset, steps, learning_rate, seed, schedule = (settings[key][0] for key in (
        "name", "preset", "steps", "learning_rate", "seed", "schedule"))
    from ..host.training.node_run import configure
    from ..host.training.runs import Request

    # Nodes of adapters have no such sockets, and graphs of older versions do not set them.
    method, phases, guided = (settings.get(key, [default])[0] for key, default in (
        ("method", "paper"), ("phases", 0), ("guided", True)))
    config = configure(stage, preset, steps, learning_rate, seed, num_frames, method)
    return Request(config, schedule, name).with_phases(phases, guided)


def run_on(cls: type[io.ComfyNode], model: io.Model.Type, settings: dict) -> NodeRun:
    """Return what runs the loop and shows its progress on the node."""
    from ..host.training.node_run import NodeRun

    return NodeRun(model, settings["name"][0], settings["preview_every"][0], lambda text: show_text(cls, text))


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
                *run_inputs("spatial_lora", "AnimateLCM text-to-video"),
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
                *run_inputs("motion_module", "AnimateLCM text-to-video"),
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
                *run_inputs("image_to_video", "AnimateLCM image-to-video"),
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
                *run_inputs("rolling_module", "AnimateLCM text-to-video"),
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

        request = request_from("adapt", settings, num_frames[0]).for_rolling(rolling_steps[0])
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

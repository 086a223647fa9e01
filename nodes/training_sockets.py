"""The sockets that training nodes share, and what they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..host.display import show_text
from ..samplers.schedules import SCHEDULES
from ..training.config import PRESETS
from ..training.methods import METHODS
from ..training.options import AUTO, TEXT_TO_VIDEO

if TYPE_CHECKING:
    from ..host.training.node_run import NodeRun
    from ..host.training.requests import Request

CATEGORY = "AnimateLCM/training"
LoraSocket, LossSocket = io.Custom("LORA_MODEL"), io.Custom("LOSS_MAP")
DISTILLED = [name for name, schedule in SCHEDULES.items() if schedule.original_steps is not None]
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


def steps_input(tooltip: str) -> io.Int.Input:
    """Return the socket for the steps of a run."""
    return io.Int.Input("steps", default=0, min=0, max=MOST, tooltip=(
        f"Total number of steps, with those before a resume, 0 to 1,000,000. {tooltip} A higher number than before "
        "goes on from there."))


def run_inputs(default_name: str, schedule: io.Combo.Input | None = None, steps: io.Int.Input | None = None
               ) -> list[io.Input]:
    """Return the sockets that every training node has.

    Args:
        schedule: That of an adaptation.
        steps: Those of a training that has its own usual number.
    """
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
        steps or steps_input("0 takes the preset's number, which is recommended; a few hundred already show whether "
                             "it works."),
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
        schedule or io.Combo.Input(
            "schedule", options=DISTILLED, default=TEXT_TO_VIDEO, advanced=True,
            tooltip="Noise schedule and distillation grid to train on, and later to sample with. The default is "
                    "recommended: the one that the authors' own modules have."),
    ]


def own_schedule_input() -> io.Combo.Input:
    """Return the socket for the schedule of an adaptation."""
    return io.Combo.Input(
        "schedule", options=[AUTO, *DISTILLED], default=AUTO, advanced=True,
        tooltip="Noise schedule and distillation grid to train on, and later to sample with. 'auto' is recommended: "
                "those of the motion module. Others are only for an image encoder and a motion module that are trained "
                "together, or where there is no motion module.")


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


def request_from(stage: str, settings: dict, num_frames: int = 1, usual_steps: int = 0) -> Request:
    """Return what the sockets of `run_inputs` ask for; the node takes lists, so each is a list of one.

    Args:
        usual_steps: Where no steps are asked for; 0: the preset's.
    """
    name, preset, steps, learning_rate, seed, schedule = (settings[key][0] for key in (
        "name", "preset", "steps", "learning_rate", "seed", "schedule"))
    from ..host.training.node_run import configure
    from ..host.training.requests import Request

    # Nodes of adapters have no such sockets, and graphs of older versions do not set them.
    method, phases, guided = (settings.get(key, [default])[0] for key, default in (
        ("method", "paper"), ("phases", 0), ("guided", True)))
    config = configure(stage, preset, steps or usual_steps, learning_rate, seed, num_frames, method)
    return Request(config, schedule, name).with_phases(phases, guided)


def run_on(cls: type[io.ComfyNode], model: io.Model.Type, settings: dict) -> NodeRun:
    """Return what runs the loop and shows its progress on the node."""
    from ..host.training.node_run import NodeRun

    return NodeRun(model, settings["name"][0], settings["preview_every"][0], lambda text: show_text(cls, text))

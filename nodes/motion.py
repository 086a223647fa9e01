"""Nodes that load a motion module and put it into a MODEL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..host.display import node_id_of, show_text
from ..host.folders import file_state, motion_files, motion_path
from ..motion.errors import short
from ..samplers.schedules import SCHEDULES, Schedule

if TYPE_CHECKING:
    from ..host.motion import LoadedMotion

MotionModuleSocket = io.Custom("ANIMATELCM_MOTION_MODULE")
AUTO, KEEP = "auto", "keep the model's own"
CHOICES = (AUTO, *SCHEDULES, KEEP)


def strength_input(advanced: bool = False) -> io.Float.Input:
    """Declare the socket `motion_strength`."""
    return io.Float.Input(
        "motion_strength", default=1.0, min=0.0, max=10.0, step=0.05, advanced=advanced,
        tooltip="Factor on what the motion module adds, 0 to 10, without unit. 1 is as trained; 0.8 to 1.2 is useful; "
                "at 0 every frame is made on its own.")


def schedule_input(advanced: bool = False) -> io.Combo.Input:
    """Declare the socket `schedule`, which `chosen_schedule` reads."""
    return io.Combo.Input(
        "schedule", options=list(CHOICES), default=AUTO, advanced=advanced,
        tooltip="Noise schedule to sample with. 'auto' takes the one that the motion file was trained with, which is "
                "right nearly always; the wrong one gives dark or washed-out videos.")


def chosen_schedule(motion_module: LoadedMotion, schedule: str) -> tuple[Schedule | None, str]:
    """Return the schedule that the socket stands for, None for the model's own, and lines for the node to show."""
    from ..host.motion import in_phases_of
    from ..host.replacements import old_schedule

    schedule, replaced = old_schedule(schedule) or (schedule, "")
    name = motion_module.schedule if schedule == AUTO else schedule
    if name != KEEP and name not in SCHEDULES:
        raise ValueError(f"{motion_module.name} asks in its metadata for the noise schedule '{short(name)}', which "
                         "this version does not know. Update this pack, or set schedule to the one that the file was "
                         f"trained with: {', '.join(SCHEDULES)}")
    # Some pages show the lines as one, and all of them the first ones first.
    message = f"sample with {motion_module.sampling}.\n" if motion_module.sampling else ""
    if motion_module.trained.about:
        message += f"{motion_module.trained.about}.\n"
    message += f"{motion_module.family}, up to {motion_module.config.max_frames} frames.\nschedule: {name}."
    if replaced:
        message += f"\n{replaced}"
    if name == KEEP:
        return None, message
    return in_phases_of(motion_module, SCHEDULES[name]), message


def applied_without_image(node: type[io.ComfyNode], model: io.Model.Type, motion_module: LoadedMotion,
                          motion_strength: float, schedule: str) -> io.Model.Type:
    """Return the MODEL with the motion module, and show on the node what it is and how it is sampled with."""
    from ..host.advice import placed_by
    from ..host.motion import apply_motion

    chosen, message = chosen_schedule(motion_module, schedule)
    # As in the authors' code: without an image nothing is added to the features.
    if motion_module.encoder is not None:
        message += "\nno reference image: works as text to video. Use Image to Video to animate an image."
    show_text(node, message)
    applied = apply_motion(model, motion_module, motion_strength, chosen)
    return placed_by(applied, motion_module, node_id_of(node), message)


class LoadMotionModule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_LoadMotionModule",
            display_name="Load Motion Module",
            category="AnimateLCM",
            description="Loads a motion module: AnimateLCM, AnimateDiff v1 to v3 or Lightning, or a MotionAdapter.",
            search_aliases=["animatediff loader", "animatediff evolved", "animatelcm", "motion model", "temporal",
                            "video model"],
            inputs=[io.Combo.Input(
                "motion_file", options=motion_files(),
                tooltip="A .safetensors or .ckpt file in models/animatediff_models. 'demo (embedded)' belongs to the "
                        "demo model. AnimateLCM_sd15_t2v.ckpt is recommended for Stable Diffusion 1.5 checkpoints.")],
            outputs=[MotionModuleSocket.Output(
                display_name="motion_module", tooltip="For Text to Video, Image to Video or Apply Motion Module.")],
        )

    @classmethod
    def fingerprint_inputs(cls, motion_file: str) -> str:
        return file_state(motion_path, motion_file)

    @classmethod
    def execute(cls, motion_file: str) -> io.NodeOutput:
        from ..host.motion import load_motion

        return io.NodeOutput(load_motion(motion_path(motion_file)))


class ApplyMotionModule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_ApplyMotionModule",
            display_name="Apply Motion Module",
            category="AnimateLCM",
            description="Makes a Stable Diffusion 1.5 MODEL treat its latent batch as the frames of one video.",
            search_aliases=["use animatediff", "use evolved sampling", "animatelcm", "motion module", "video", "gif",
                            "txt2vid", "vid2vid", "v2v", "video to video"],
            inputs=[
                io.Model.Input("model", tooltip="A Stable Diffusion 1.5 MODEL, before or after its LoRAs."),
                MotionModuleSocket.Input("motion_module", tooltip="From Load Motion Module."),
                strength_input(),
                schedule_input(),
            ],
            outputs=[io.Model.Output(
                tooltip="For any sampler. Frames are the latent batch: 16 in Empty Latent Image make 16 frames.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, schedule: str | None = None) -> bool | str:
        from ..host.replacements import old_schedule

        # A link has no value yet. ComfyUI gives this node the schedule of an old one by its old name.
        if schedule is None or schedule in CHOICES or old_schedule(schedule) is not None:
            return True
        return f"schedule is {schedule!r}; expected one of {', '.join(CHOICES)}"

    @classmethod
    def execute(cls, model, motion_module, motion_strength: float, schedule: str) -> io.NodeOutput:
        return io.NodeOutput(applied_without_image(cls, model, motion_module, motion_strength, schedule))

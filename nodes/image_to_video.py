"""The node that animates an image."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..host.display import node_id_of, show_text
from .motion import MotionModuleSocket, chosen_schedule, schedule_input, strength_input
from .video_size import check_size, size_inputs

LEVELS = ("level_1_weight", "level_2_weight", "level_3_weight", "level_4_weight")


def _level_input(number: int) -> io.Float.Input:
    return io.Float.Input(
        LEVELS[number], default=1.0, min=0.0, max=10.0, step=0.05, advanced=True,
        tooltip="Factor on what the reference image adds at this level of the UNet, 0 to 10, without unit; 1 is as "
                f"trained. Level {number + 1} of {len(LEVELS)} works at "
                + (f"1/{2**number} of the latent's width." if number else "the latent's full width."))


class ImageToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_ImageToVideo",
            display_name="Image to Video",
            category="AnimateLCM",
            description="Makes a Stable Diffusion 1.5 MODEL animate an image, and makes the empty latent of the video.",
            search_aliases=["animatelcm i2v", "i2v", "img2vid", "image2video", "animate image", "reference image",
                            "ref latent", "animatediff", "gif"],
            inputs=[
                io.Model.Input("model", tooltip="A Stable Diffusion 1.5 MODEL, before or after its LoRAs."),
                MotionModuleSocket.Input(
                    "motion_module", tooltip="From Load Motion Module, with an image-to-video file such as "
                                             "AnimateLCM_sd15_i2v.ckpt."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint; it encodes the image."),
                io.Image.Input(
                    "reference_image", tooltip="The image to animate, of any size; or one image for each frame. It is "
                                               "scaled to cover the video, and its middle is cut out."),
                *size_inputs(),
                io.Float.Input(
                    "motion_scale", default=0.8, min=0.0, max=3.0, step=0.05,
                    tooltip="How far the frames may move away from the image, 0 to 3, without unit. 0.8 is "
                            "recommended; 0 makes a still; more than 1 moves more and fails more often."),
                strength_input(advanced=True),
                schedule_input(advanced=True),
                *(_level_input(number) for number in range(len(LEVELS))),
            ],
            outputs=[
                io.Model.Output(tooltip="For any sampler."),
                io.Latent.Output(tooltip="Empty frames of the video's size, for the sampler."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, motion_module, vae, reference_image, width: int, height: int, num_frames: int,
                motion_scale: float, motion_strength: float, schedule: str, **weights: float) -> io.NodeOutput:
        from ..host.advice import placed_by
        from ..host.image_to_video import apply_image_to_video, check_animates, fit_images

        check_animates(model, motion_module)
        check_size(width, height, num_frames)
        if len(reference_image) not in (1, num_frames):
            raise ValueError(f"{len(reference_image)} reference images for a video of {num_frames} frames. Connect one "
                             "image, or one for each frame")
        images, fitted = fit_images(reference_image, width, height)
        latents = vae.encode(images)
        chosen, message = chosen_schedule(motion_module, schedule)
        applied = apply_image_to_video(
            model, motion_module, latents, motion_scale, tuple(weights[name] for name in LEVELS), motion_strength,
            chosen)
        message += f"\n{fitted}."
        show_text(cls, message)
        applied = placed_by(applied, motion_module, node_id_of(cls), message)
        return io.NodeOutput(applied, {"samples": torch.zeros_like(latents[:1]).repeat(num_frames, 1, 1, 1)})

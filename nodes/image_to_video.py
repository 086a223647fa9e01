"""The node that animates an image."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..host.display import node_id_of, show_text
from ..host.sizes import LATENT_CELL
from .motion import MotionModuleSocket, chosen_schedule, schedule_input, strength_input

LEVELS = ("level_1_weight", "level_2_weight", "level_3_weight", "level_4_weight")
FEWEST_PIXELS, MOST_PIXELS = 64, 4096
MOST_FRAMES = 1024


def _side_input(name: str) -> io.Int.Input:
    return io.Int.Input(
        name, default=512, min=FEWEST_PIXELS, max=MOST_PIXELS, step=LATENT_CELL,
        tooltip=f"The video's {name} in pixels, {FEWEST_PIXELS} to {MOST_PIXELS}, a multiple of {LATENT_CELL}. 512 is "
                "recommended; 768 by 512 works too.")


def _level_input(number: int) -> io.Float.Input:
    return io.Float.Input(
        LEVELS[number], default=1.0, min=0.0, max=10.0, step=0.05, advanced=True,
        tooltip="Factor on what the reference image adds at this level of the UNet, 0 to 10, without unit; 1 is as "
                f"trained. Level {number + 1} of {len(LEVELS)} works at 1/{2**number} of the latent's width.")


class ImageToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_ImageToVideo",
            display_name="Image to Video",
            category="AnimateLCM",
            description="Makes a Stable Diffusion 1.5 MODEL animate an image, and the empty latent of the video.",
            search_aliases=["animatelcm i2v", "animate image", "img2vid", "reference image", "ref latent"],
            inputs=[
                io.Model.Input("model", tooltip="A Stable Diffusion 1.5 MODEL, before or after its LoRAs."),
                MotionModuleSocket.Input(
                    "motion_module", tooltip="From Load Motion Module, with an image-to-video file such as "
                                             "AnimateLCM_sd15_i2v.ckpt."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint; it encodes the image."),
                io.Image.Input(
                    "reference_image", tooltip="The image to animate, of any size; or one image for each frame. It is "
                                               "scaled to cover the video, and its middle is cut out."),
                _side_input("width"),
                _side_input("height"),
                io.Int.Input(
                    "num_frames", default=16, min=1, max=MOST_FRAMES,
                    tooltip="Frames of the video. 16 is recommended, which the modules were trained with; more than "
                            "they know need Long Video."),
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
        _check(width, height, num_frames, len(reference_image))
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


def _check(width: int, height: int, num_frames: int, images: int) -> None:
    """Check what can be known before anything is encoded; a number that arrives by a link has had no check yet.

    Raises:
        ValueError: A side that no latent has, no frame, or another number of images than one or one for each frame.
    """
    if any(side % LATENT_CELL or side < FEWEST_PIXELS for side in (width, height)):
        near = " x ".join(str(max(FEWEST_PIXELS, LATENT_CELL * round(side / LATENT_CELL))) for side in (width, height))
        raise ValueError(f"the video is to have {width} x {height} pixels; both have to be multiples of {LATENT_CELL}, "
                         f"from {FEWEST_PIXELS} on. Take {near}")
    if num_frames < 1:
        raise ValueError(f"the video is to have {num_frames} frames; it needs at least 1, and 16 are recommended")
    if images not in (1, num_frames):
        raise ValueError(f"{images} reference images for a video of {num_frames} frames. Connect one image, or one "
                         "for each frame")

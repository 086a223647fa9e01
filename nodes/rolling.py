"""The nodes for videos without end: a sampler whose window moves over the frames, and a recorder."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.display import show_text
from .sampling import auto_input
from .video_size import MOST_FRAMES


class RollingSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_RollingSampler",
            display_name="Rolling Sampler",
            category="AnimateLCM",
            description="Gives a sampler whose window moves over a video of any length, in the memory of one window.",
            search_aliases=["fifo diffusion", "diagonal denoising", "endless video", "infinite video", "queue"],
            inputs=[
                io.Int.Input(
                    "window", default=16, min=2, max=256,
                    tooltip="Frames that are computed together, 2 to 256. 16 is recommended, which the modules were "
                            "trained with. The window without its anchors has to be a multiple of the steps."),
                io.Int.Input(
                    "anchors", default=0, min=0, max=255,
                    tooltip="How many frames of the window are finished ones that the others follow, 0 to window - 1. "
                            "0 is recommended; 4 make the video change more evenly and take a third more time."),
                io.Float.Input(
                    "stochasticity", default=1.0, min=0.0, max=1.0, step=0.05,
                    tooltip="Share of fresh noise between two steps, 0 to 1. 1 is recommended, as in AnimateLCM "
                            "Sampler; 0 adds none: then only the first noise decides."),
                auto_input(),
            ],
            outputs=[io.Sampler.Output(tooltip="For SamplerCustom, SamplerCustomAdvanced or Record Video.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, window: int, anchors: int, stochasticity: float, auto: bool = True) -> io.NodeOutput:
        from ..host import rolling
        from ..samplers.rolling import Rolling

        settings = Rolling(window, anchors, stochasticity)
        show_text(cls, rolling.describe(settings))
        return io.NodeOutput(rolling.RollingSampler(settings, auto=auto))


class RecordVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_RecordVideo",
            display_name="Record Video",
            category="AnimateLCM",
            description="Samples a video of any length and writes it to a file while it is sampled, in the memory of "
                        "one window.",
            search_aliases=["save video", "stream video", "endless video", "record", "mp4", "webm",
                            "vid2vid", "v2v", "video to video"],
            inputs=[
                io.Guider.Input("guider", tooltip="From Basic Guider, or CFG Guider for a negative prompt."),
                io.Sampler.Input("sampler", tooltip="From Rolling Sampler."),
                io.Sigmas.Input("sigmas", tooltip="From AnimateLCM Scheduler. 4 steps are recommended."),
                io.Vae.Input("vae", tooltip="The VAE of the checkpoint; it decodes a few frames at a time."),
                io.Latent.Input(
                    "latent", tooltip="For a new video: Empty Latent Image, of which only the size counts. To change "
                                      "an existing video: its latents, one for each frame, and a lower denoise."),
                io.Int.Input(
                    "num_frames", default=64, min=1, max=MOST_FRAMES,
                    tooltip=f"Frames of the video, 1 to {MOST_FRAMES}. Prompts, hints and masks with one for each "
                            "frame need the same number."),
                io.Int.Input(
                    "seed", default=0, min=0, max=0xffffffffffffffff, control_after_generate=True,
                    tooltip="Decides the noise of every frame. With the same seed, a longer video begins like a "
                            "shorter one."),
                io.Float.Input(
                    "fps", default=8.0, min=1.0, max=120.0, step=1.0,
                    tooltip="Frames a second, 1 to 120. 8 is recommended, which the modules were trained with."),
                io.Combo.Input(
                    "format", options=["mp4", "webm"], default="mp4",
                    tooltip="Container and codec: 'mp4' is H.264 and recommended, 'webm' is VP9, smaller and slower."),
                io.Int.Input(
                    "crf", default=19, min=0, max=63, advanced=True,
                    tooltip="Quality, 0 to 51 for mp4, 0 to 63 for webm: a lower number gives a better picture and a "
                            "larger file. 19 is recommended; for webm 30."),
                io.String.Input(
                    "filename_prefix", default="video/AnimateLCM",
                    tooltip="Beginning of the file's name below ComfyUI's output folder, as in Save Video."),
                io.Audio.Input(
                    "audio", optional=True,
                    tooltip="Sound, from the first frame on; it is cut off at the end of the video. None: silent."),
            ],
            outputs=[io.Video.Output(tooltip="The written file, for Get Video Components and other nodes.")],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, guider, sampler, sigmas, vae, latent, num_frames: int, seed: int, fps: float, format: str,
                crf: int, filename_prefix: str, audio=None) -> io.NodeOutput:
        from comfy_api.latest import InputImpl, ui

        from ..host.recording import Request, record
        from ..host.video_file import Target

        # A script that calls a node directly has neither.
        about = (getattr(cls.hidden, name, None) for name in ("prompt", "extra_pnginfo"))
        target = Target(filename_prefix, format, fps, crf, audio, *about)
        saved = record(Request(guider, sampler, sigmas, latent, num_frames, seed), vae, target)
        show_text(cls, saved.summary)
        shown = ui.SavedResult(saved.path.name, saved.subfolder, io.FolderType.output)
        return io.NodeOutput(InputImpl.VideoFromFile(str(saved.path)), ui=ui.PreviewVideo([shown]))

"""Nodes that give the exact noise levels and the sampler of a consistency model."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..host.display import show_text
from .curves import values_input


def auto_input() -> io.Boolean.Input:
    """Declare the socket `auto`, by which a sampler follows what the motion file says of itself."""
    return io.Boolean.Input(
        "auto", default=True, optional=True, advanced=True,
        tooltip="On, which is recommended: a motion module that was trained in phases gets no fresh noise, whatever "
                "stochasticity says. For others stochasticity is used as it is set.")


class Scheduler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_Scheduler",
            display_name="AnimateLCM Scheduler",
            category="AnimateLCM",
            description="Gives the noise levels of exactly the timesteps that a distilled motion module knows.",
            search_aliases=["lcm scheduler", "sigmas", "timesteps", "few steps", "animatelcm steps", "vid2vid", "v2v",
                            "video to video"],
            inputs=[
                io.Model.Input("model", tooltip="From Text to Video, Image to Video or Apply Motion Module, for the "
                                                "timesteps that the module knows. Without a distilled motion module "
                                                "they are evenly spaced over all 1000."),
                io.Int.Input(
                    "steps", default=4, min=1, max=50,
                    tooltip="Network calls, 1 to 50. 4 is recommended for AnimateLCM, 2 for speed, 8 for more detail; "
                            "a motion module that is not distilled needs about 25."),
                io.Float.Input(
                    "denoise", default=1.0, min=0.0, max=1.0, step=0.01,
                    tooltip="Share of the noise to start from, 0 to 1. 1 makes a new video, 0.4 to 0.7 changes an "
                            "existing one. As in KSampler, it is rounded to int(steps / denoise): 4 steps at 0.8 start "
                            "at timestep 799, at 0.5 at 499, and above 0.8 they start at 999."),
            ],
            outputs=[io.Sigmas.Output(
                tooltip="Noise levels for SamplerCustom or SamplerCustomAdvanced; the same as Basic Scheduler's with "
                        "'simple'.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, steps: int, denoise: float) -> io.NodeOutput:
        from ..host.sampling import scheduled_sigmas

        sigmas, timesteps = scheduled_sigmas(model, steps, denoise)
        show_text(cls, "timesteps " + (" ".join(map(str, timesteps)) or "none"))
        return io.NodeOutput(sigmas)


class Sampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AnimateLCM_Sampler",
            display_name="AnimateLCM Sampler",
            category="AnimateLCM",
            description="Gives the multistep consistency sampler, with a control over how much fresh noise it adds.",
            search_aliases=["lcm sampler", "consistency sampler", "gamma sampling", "stochastic", "deterministic"],
            inputs=[
                io.Float.Input(
                    "stochasticity", default=1.0, min=0.0, max=1.0, step=0.05,
                    tooltip="Share of fresh noise between two steps, 0 to 1. 1 is recommended: the sampler that "
                            "AnimateLCM was made for, and the stock lcm. 0 adds none: then only the first noise "
                            "decides (DDIM)."),
                io.String.Input(
                    "stochasticity_curve", default="", optional=True, advanced=True,
                    tooltip="Factor on stochasticity for key frames, as FRAME: NUMBER, from 0 to 1 without unit, such "
                            "as 0: 1, 15: 0; between them it changes evenly. Empty is recommended: 1 everywhere."),
                values_input("stochasticity_values", "In place of the curve, factor on stochasticity, 0 to 1"),
                auto_input(),
            ],
            outputs=[io.Sampler.Output(tooltip="For SamplerCustom or SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, stochasticity: float, stochasticity_curve: str = "", stochasticity_values: Any = None,
                auto: bool = True) -> io.NodeOutput:
        from ..host.curves import curve_in
        from ..host.sampling import lcm_sampler

        curve = curve_in(stochasticity_curve, stochasticity_values, "stochasticity", 0.0, 1.0)
        return io.NodeOutput(lcm_sampler(stochasticity, curve, auto))

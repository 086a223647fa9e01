"""Compare whole runs with diffusers on the same random weights and noise.

    python dev.py parity            a tiny model
    python dev.py parity --full     Stable Diffusion 1.5's size in float32, one side after the other: 10 GB of memory

On one side diffusers' UNetMotionModel, MotionAdapter and LCMScheduler as AnimateLCM configures them; on the other the
host with this pack, with the stock sampler "lcm" and with ours. One line for each case gives the relative RMS of the
difference between the latents; the last line is one JSON object.

One thing is changed in diffusers' network: its temporal transformers take their group norm over all frames of a clip
together, those of AnimateDiff and AnimateLCM, where the weights come from, over each frame alone. So do ours, and so
does diffusers' here. The JSON's `diffusers_own_norm` is how far its own norm leads away, in one step.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .clock import Clock
from .diffusers_side import diffusers_networks, diffusers_side
from .parity_cases import FULL, NAME, TINY, Sampled, Size, Text, cases, inputs

TOLERANCE = 1e-4


# The host with this pack

def host_model(unet_weights: dict[str, Tensor], size: Size):
    """Return the host's MODEL with weights under diffusers' names."""
    import comfy.model_management
    import comfy.model_patcher
    import comfy.utils
    from comfy.supported_models import SD15

    base = size.channels[0]
    unet_config = {
        "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": base,
        "channel_mult": tuple(channels // base for channels in size.channels), "num_res_blocks": [2, 2, 2, 2],
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0], "context_dim": size.context_dim,
        "use_spatial_transformer": True, "use_linear_in_transformer": False, "use_temporal_attention": False,
        "adm_in_channels": None, "use_checkpoint": False, "legacy": False}
    names = comfy.utils.unet_to_diffusers(unet_config)
    config = SD15(unet_config)
    config.unet_config = unet_config | {"num_heads": size.heads, "num_head_channels": -1}
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, device=None)
    model.diffusion_model.load_state_dict({names[key]: weight for key, weight in unet_weights.items()}, assign=True)
    return comfy.model_patcher.CoreModelPatcher(
        model, load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device())


def run_host(model, ours: bool, text: Text, noise: Tensor, steps: int, cfg: float) -> Sampled:
    """Sample with a MODEL through the host's guider and a SAMPLER, which is given the noise of every step."""
    import comfy.sample
    import comfy.samplers
    from comfy.k_diffusion.sampling import sample_lcm as stock_lcm
    from comfy.patcher_extension import WrappersMP

    from ...host.sampling import scheduled_sigmas
    from ...samplers.lcm import sample_lcm

    def sample(wrapped, x, sigmas, extra_args, callback, disable):
        later = iter(noise[1:].to(x))
        if ours:
            return sample_lcm(wrapped, x, sigmas, 1.0, lambda *levels: next(later), extra_args, callback)
        return stock_lcm(wrapped, x, sigmas, extra_args, callback, disable, lambda *levels: next(later))

    seen = []

    def note(executor, x, timesteps, *args, **kwargs):
        seen.append(int(timesteps[0]))
        if (timesteps != timesteps[0]).any():
            raise RuntimeError(f"the frames of one call have different timesteps: {timesteps.tolist()}")
        return executor(x, timesteps, *args, **kwargs)

    model = model.clone()
    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "parity", note)
    sigmas, timesteps = scheduled_sigmas(model, steps)
    with torch.inference_mode():
        latents = comfy.sample.sample_custom(
            model, noise[0], cfg, comfy.samplers.KSAMPLER(sample), sigmas, [[text[0], {}]], [[text[1], {}]],
            torch.zeros_like(noise[0]), disable_pbar=True, seed=0)
    return Sampled(model.get_model_object("latent_format").process_in(latents), tuple(dict.fromkeys(seen)))


# The comparison

@dataclass(frozen=True)
class Result:
    """How one case compares."""

    case: str
    relative_rms: float
    timesteps_agree: bool


def compare(size: Size, folder: Path, progress: Callable[[str], None]) -> Iterator[Result]:
    """Yield the result of every case, holding one side in memory at a time; the first is of diffusers' own norm."""
    progress("making diffusers' networks")
    text, noise = inputs(size)
    unet, adapter = diffusers_networks(size)
    adapter.save_pretrained(folder)
    weights = unet.state_dict()
    expected = diffusers_side(unet, adapter, text, noise, progress)
    del unet, adapter
    gc.collect()
    yield result_of("diffusers' own norm, 1 step", expected.with_own_norm, expected.runs[1, 1.0])

    from ...host.motion import apply_motion, load_motion
    from ...samplers.schedules import SCHEDULES

    progress("making the host's networks")
    motion = load_motion(folder / "diffusion_pytorch_model.safetensors")
    model = apply_motion(host_model(weights, size), motion, 1.0, SCHEDULES[motion.schedule])
    for ours, case in itertools.product((False, True), cases()):
        run = run_host(model, ours, text, noise, *case)
        yield result_of(f"{'our sampler' if ours else 'stock lcm'}, {NAME.format(*case)}", run, expected.runs[case])


def result_of(case: str, run: Sampled, reference: Sampled) -> Result:
    """Compare two runs."""
    error = (run.latents - reference.latents).pow(2).mean() / reference.latents.pow(2).mean()
    return Result(case, error.sqrt().item(), run.timesteps == reference.timesteps)


def all_digits() -> None:
    """Let a GPU multiply with all digits of float32; by default its convolutions keep three of them."""
    torch.backends.cudnn.allow_tf32 = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="compare at Stable Diffusion 1.5's size")
    size = FULL if parser.parse_args().full else TINY
    print(f"{size.num_frames} frames, {8 * size.latent} x {8 * size.latent} px, channels {size.channels}", flush=True)
    all_digits()
    clock, results = Clock(), []
    with tempfile.TemporaryDirectory() as folder:
        for result in compare(size, Path(folder), clock.report):
            clock.report(f"{result.case:<30} relative RMS {result.relative_rms:.2e}")
            results.append(result)
    other, *results = results
    worst = max(result.relative_rms for result in results)
    timesteps_agree = all(result.timesteps_agree for result in results)
    passed = worst <= TOLERANCE and timesteps_agree
    print(json.dumps({"passed": passed, "worst_relative_rms": worst, "tolerance": TOLERANCE,
                      "timesteps_agree": timesteps_agree, "diffusers_own_norm": other.relative_rms,
                      "seconds": round(clock.seconds(), 1)}))
    raise SystemExit(not passed)


if __name__ == "__main__":
    main()

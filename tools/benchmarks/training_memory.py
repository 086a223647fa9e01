"""Measure what a training step needs at Stable Diffusion 1.5's size, beside what was estimated before it.

    python dev.py training-memory [STAGE ...]

Every stage of the paper, and those in phases, trains on small clips with seeded random weights, as its node would on
this machine, in a process of its own; up to 16 GiB have to be free. The last line is one JSON object: for each stage
the peak that was measured and the estimate, in GiB, and the estimate over the peak.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .bench import STANDALONE, UNET_CONFIG, peak_bytes
from .fill import fill, stand_in

STEPS = ACCUMULATION = 2
"""The second step has the optimiser's moments from its beginning, and its second batch the gradients of the first:
from there on, steps need the same."""
GIB = 2**30


@dataclass(frozen=True)
class Size:
    """What a stage trains on."""

    frames: int
    side: int
    """Pixels of height and width."""


SIZES = {"image": Size(1, 256), "motion": Size(8, 64), "adapt": Size(8, 64),
         "phased-image": Size(1, 256), "phased-motion": Size(8, 64)}
PHASED = "phased-"
"""What the names of the stages begin with that are distilled in phases, on clips with all terms for motion."""


def training_config(stage: str):
    """Return the settings that the stage's node has for one GPU of 24 GB, but for steps and size."""
    from ...host.training.node_run import configure

    size, method = SIZES[stage], "phased + motion" if stage.startswith(PHASED) else "paper"
    config = configure(stage.removeprefix(PHASED), "sd15-24gb", STEPS, 0.0, 0, size.frames, method)
    if config.distillation.own_samples:
        # In every batch: what is measured is the most that a batch needs.
        config = replace(config, distillation=replace(config.distillation, own_samples=1.0))
    return replace(config, width=size.side, height=size.side, loop=replace(config.loop, accumulation=ACCUMULATION))


def new_unet(precision: torch.dtype, device: torch.device) -> nn.Module:
    """Return a UNet of stand-in weights, of which matrices have the training's precision."""
    from .standins import bare_unet

    unet, generator = bare_unet(), torch.Generator().manual_seed(1)
    weights = {key: stand_in(key, weight.shape, generator).to(device, precision if weight.ndim > 1 else torch.float32)
               for key, weight in unet.state_dict().items()}
    unet.load_state_dict(weights, assign=True)
    return unet


def new_stage(config):
    """Return what the stage trains, and its setting, as the functions of `host.training.runs` put them together."""
    import comfy.model_management
    import comfy.utils

    from ...host.training.network import Trainable
    from ...motion.image_encoder import ImageEncoder
    from ...motion.module import MotionConfig, MotionModule
    from ...samplers.schedules import SCHEDULES, alphas_cumprod
    from ...training.consistency import Diffusion
    from ...training.lora import inject
    from ...training.stages import Setting, adaptation_stage, image_stage, motion_stage
    from ...training.trainer import DTYPES

    device, motion = comfy.model_management.get_torch_device(), MotionConfig()
    model = Trainable(
        new_unet(DTYPES[config.loop.precision], device),
        None if config.stage == "image" else fill(MotionModule(motion, device=device), seed=2),
        fill(ImageEncoder(motion.channels, device=device), seed=3) if config.stage == "adapt" else None,
        config.gradient_checkpointing).requires_grad_(False)
    if config.stage != "adapt":
        own = dict(model.unet.named_parameters())
        names = comfy.utils.unet_to_diffusers(UNET_CONFIG)
        inject(model, {f"unet.{key.removesuffix('.weight')}": name.removesuffix(".weight")
                       for name, key in names.items() if key.endswith(".weight") and key in own}, config.lora)
    schedule = alphas_cumprod(SCHEDULES["AnimateLCM text-to-video"]).to(device, torch.float32)
    setting = Setting(model, examples_for(config, device), torch.zeros(1, 77, 768, device=device), Diffusion(schedule),
                      config)
    stages = {"image": image_stage, "motion": motion_stage,
              "adapt": lambda given: adaptation_stage(given, ("encoder.", "motion."))}
    return stages[config.stage](setting), setting


def examples_for(config, device: torch.device):
    """Return batches of random latents and contexts, with the first frames as references to adapt to."""
    from ...training.draws import Examples

    frames = () if config.frames == 1 else (config.frames,)
    shape = (config.batch, *frames, 4, config.height // 8, config.width // 8)

    def source(number: int) -> Examples:
        def noise(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(device)

        generator = torch.Generator().manual_seed(number)
        latents, context = noise(*shape), noise(config.batch, 77, 768)
        return Examples(latents, context, {"reference": latents[:, 0]} if config.stage == "adapt" else {})

    return source


def measure(stage: str) -> dict[str, float]:
    """Train the stage in this process; return the peak of what it held, and the estimate."""
    import comfy.model_management
    import psutil

    from ...training.loop import train
    from ...training.memory import estimate

    config = training_config(stage)
    # The estimate is of the training's own network and data. The host's MODEL, which is not on the device during
    # training, is left out of both, and so is what Python and its libraries hold before there is any weight.
    before = torch.cuda.memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss
    what, setting = new_stage(config)
    needed = estimate(what, setting.model, setting.source(0), config.loop)
    print(f"{stage}: {needed}", flush=True)
    needed.check(comfy.model_management.get_free_memory())
    for report in train(what, config.loop):
        print(f"{stage}: step {report.step}, loss {report.loss:.4g}, {report.seconds:.1f} s", flush=True)
    measured = peak_bytes() - before
    return {"measured": round(measured / GIB, 2), "estimated": round(needed.total / GIB, 2),
            "ratio": round(needed.total / measured, 3)}


def in_process(stage: str) -> dict[str, float]:
    """Measure a stage in a process of its own, and print what it prints."""
    # Memory that was freed goes back to the system at once: else the peak counts what the allocator keeps as well.
    variables = dict(os.environ, MALLOC_MMAP_THRESHOLD_="1048576", MALLOC_TRIM_THRESHOLD_="1048576")
    command = [sys.executable, str(STANDALONE), "tools.benchmarks.training_memory", "--own", stage]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
    if process.returncode:
        sys.exit(f"error: the {stage} stage ended with exit status {process.returncode}")
    return json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(SIZES)}; all by default")
    parser.add_argument("--own", action="store_true", help="measure the stage in this process")
    options = parser.parse_args()
    if unknown := set(options.stages) - set(SIZES):
        parser.error(f"there is no stage {', '.join(sorted(unknown))}; expected some of {', '.join(SIZES)}")
    if options.own:
        print(json.dumps(measure(options.stages[0])))
        return
    print(json.dumps({stage: in_process(stage) for stage in options.stages or SIZES}))


if __name__ == "__main__":
    main()

"""Measure what the motion module costs, as ratios inside one run.

    python dev.py bench
    python dev.py bench --pixels 512 --precision fp16
    python dev.py bench --pixels 512 --precision fp16 --table      row by row, for a GPU: see speed_table

The last line is one JSON object: the size and precision, `step_ratio_cfg1` and `step_ratio_cfg1_5` (time of a denoising
step with the motion module over one without), `flop_ratio` (the same in counted operations), `import_seconds` (of the
pack, as the host does it), `peak_memory_ratio` (peak memory of a step with the module over one without, in processes of
their own), `seconds_of_4_steps` (without guidance, with the module) and `guided_50_over_4` (time of 50 steps with
guidance over those); the last two come from single steps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from .fill import fill

FRAMES, PIXELS, CHANNELS = 16, 128, 320
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
STANDALONE = Path(__file__).resolve().parents[2] / "standalone.py"
UNET_CONFIG: dict[str, Any] = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": CHANNELS, "channel_mult": (1, 2, 4, 4),
    "num_res_blocks": [2, 2, 2, 2], "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0], "context_dim": 768,
    "use_spatial_transformer": True, "use_linear_in_transformer": False, "use_temporal_attention": False,
    "adm_in_channels": None, "use_checkpoint": False, "legacy": False,
}


def build_model(channels: int = CHANNELS, dtype: torch.dtype = torch.float32):
    """Return a MODEL of Stable Diffusion 1.5's layout, and by default its size, with stand-in weights."""
    import comfy.model_management
    import comfy.model_patcher
    from comfy.supported_models import SD15

    config = SD15(UNET_CONFIG | {"model_channels": channels})
    config.set_inference_dtype(dtype, None)
    model = config.get_model({}, device=None)
    fill(model.diffusion_model, seed=1)
    return comfy.model_patcher.CoreModelPatcher(
        model, load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device())


def stand_in_motion(channels: int = CHANNELS, dtype: torch.dtype = torch.float32):
    """Return a motion module of stand-in weights for such a MODEL."""
    from ...host.motion import LoadedMotion
    from ...host.operations import operations
    from ...host.patchers import motion_patcher
    from ...motion.module import MotionConfig, MotionModule

    config = MotionConfig(tuple(channels * factor for factor in UNET_CONFIG["channel_mult"]))
    network = fill(MotionModule(config, dtype=dtype, ops=operations), seed=2)
    return LoadedMotion("stand-in", "AnimateLCM", "AnimateLCM text-to-video", config, motion_patcher(network))


def with_motion(model):
    """Return a clone of the MODEL with a motion module of its size and precision."""
    from ...host.motion import apply_motion

    channels = model.model.model_config.unet_config["model_channels"]
    return apply_motion(model, stand_in_motion(channels, model.model_dtype()), 1.0, None)


def step(model, cfg: float, pixels: int, frames: int = FRAMES) -> float:
    """Run one denoising step as the stock sampler does; return its seconds."""
    import comfy.sample

    latent = torch.zeros(frames, 4, pixels // 8, pixels // 8)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
    conds = [[[torch.zeros(1, 77, 768), {}]] for _ in range(2)]
    start = time.perf_counter()
    with torch.inference_mode():
        comfy.sample.sample(model, noise, 1, cfg, "euler", "simple", *conds, latent, seed=0, disable_pbar=True)
        wait()
    return time.perf_counter() - start


def wait() -> None:
    """Wait until the device has done what it was given; a CPU has."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.xpu.is_available():
        torch.xpu.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def count_flops(model, pixels: int, frames: int = FRAMES) -> float:
    """Return the operations of one step's matrix products and convolutions."""
    from ...host import operations

    def linear(x_shape, weight_shape, *_, **__) -> int:
        return 2 * torch.Size(x_shape).numel() * weight_shape[0]

    # torch counts every linear layer but the oneDNN one of the motion module, which some builds of torch lack.
    mapping = {operations.onednn_linear: linear} if operations.onednn_linear is not None else {}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        step(model, 1.0, pixels, frames)
    return counter.get_total_flops()


def step_pairs(one: tuple[Any, float], other: tuple[Any, float], pixels: int, runs: int, frames: int = FRAMES
               ) -> list[tuple[float, float]]:
    """Return the seconds of alternating steps of the one and the other, each a MODEL and cfg."""
    step(*one, pixels, frames), step(*other, pixels, frames)
    return [(step(*one, pixels, frames), step(*other, pixels, frames))
            for _ in tqdm(range(runs), desc=f"steps at cfg {one[1]} and {other[1]}")]


def step_ratio(pairs: list[tuple[float, float]]) -> float:
    """Return the median over pairs of the one's time over the other's."""
    return median(one / other for one, other in pairs)


def peak_memory(kind: str) -> int:
    """Return the peak memory in bytes of one step in a process of its own, which takes our own options."""
    command = [sys.executable, str(STANDALONE), "tools.benchmarks.bench", *sys.argv[1:], "--peak", kind]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def own_peak(kind: str, pixels: int, dtype: torch.dtype) -> int:
    """Run one step in this process and return its peak memory in bytes."""
    model = build_model(dtype=dtype)
    if kind == "motion":
        model = with_motion(model)
    step(model, 1.0, pixels)
    return peak_bytes()


def peak_bytes() -> int:
    """Return the most memory in bytes that this process has had at a time, of the GPU where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    # In bytes on macOS, else in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def import_seconds() -> float:
    """Return the seconds that the host needs to import the pack and list its nodes, in a process of its own."""
    code = (
        "import sys, time, asyncio; sys.path.insert(0, sys.argv[1]); import standalone; standalone.register();"
        "import nodes, comfy_api.latest;"
        "start = time.perf_counter();"
        "import importlib.util as u;"
        "root = sys.argv[1];"
        "spec = u.spec_from_file_location('pack', root + '/__init__.py', submodule_search_locations=[root]);"
        "pack = u.module_from_spec(spec); sys.modules['pack'] = pack; spec.loader.exec_module(pack);"
        "extension = pack.comfy_entrypoint(); asyncio.run(extension.on_load()); asyncio.run(extension.get_node_list());"
        "print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code, str(STANDALONE.parent)]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(3)]
    return median(float(run.stdout.split()[-1]) for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="pairs of alternating steps for each figure")
    parser.add_argument("--pixels", type=int, default=PIXELS, help="height and width of a frame")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of both networks")
    parser.add_argument("--peak", choices=["bare", "motion"], help="measure one process's peak memory and print it")
    parser.add_argument("--table", action="store_true", help="measure row by row; --table --help lists its options")
    chosen, rest = parser.parse_known_args()
    if chosen.table:
        from . import speed_table

        sys.exit(speed_table.main(rest, chosen))
    if rest:
        parser.error(f"there is no option {' '.join(rest)}")
    pixels, dtype = chosen.pixels, PRECISIONS[chosen.precision]
    if chosen.peak:
        print(own_peak(chosen.peak, pixels, dtype))
        return
    figures = {"pixels": pixels, "precision": chosen.precision, "import_seconds": round(import_seconds(), 4)}
    print("peak memory, each in a process of its own ...", flush=True)
    figures["peak_memory_ratio"] = round(peak_memory("motion") / peak_memory("bare"), 4)
    bare = build_model(dtype=dtype)
    moving = with_motion(bare)
    figures["flop_ratio"] = round(count_flops(moving, pixels) / count_flops(bare, pixels), 4)
    unguided = step_pairs((moving, 1.0), (bare, 1.0), pixels, chosen.runs)
    figures["step_ratio_cfg1"] = round(step_ratio(unguided), 4)
    lightly_guided = step_pairs((moving, 1.5), (bare, 1.5), pixels, chosen.runs)
    figures["step_ratio_cfg1_5"] = round(step_ratio(lightly_guided), 4)
    figures["seconds_of_4_steps"] = round(4 * median(seconds for seconds, _ in unguided), 3)
    guided = step_pairs((moving, 7.5), (moving, 1.0), pixels, chosen.runs)
    figures["guided_50_over_4"] = round(50 / 4 * step_ratio(guided), 2)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

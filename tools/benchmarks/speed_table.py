"""Measure what people wait for, row by row: meant for a GPU, and the same on a CPU at a small size.

    python dev.py bench --table --pixels 512 --precision fp16
    python dev.py bench --table --pixels 512 --precision fp16 --sections steps kernels
    python dev.py bench --table --pixels 512 --precision fp16 --peer PATH/ComfyUI-AnimateDiff-Evolved
    python dev.py bench --table --pixels 64 --channels 32 --frames 16 --runs 1

Every row is printed as soon as it is measured, what is most wanted first; docs/speed.md says how to read them.
Sections: `steps` (a step with and without the motion module), `kernels` (attention at the sites' own shapes), `run`
(where the time of a whole run goes), `compiled` (a step under ComfyUI's TorchCompileModel), `peer` (a step with another
pack's motion module, always of the real size). Exits with 1 where a row could not be measured.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from .bench import CHANNELS, PRECISIONS, STANDALONE, build_model, step, with_motion
from .kernels import add_kernel_rows
from .rows import STEP_COLUMNS, CountedRatios, Table, peak_gib, step_cells
from .whole_run import add_stage_rows, stand_in_parts

CFGS = (1.0, 1.5)


@dataclass(frozen=True)
class Size:
    """What is measured, and how often."""

    pixels: int = 512
    """Height and width of a frame."""
    precision: str = "fp16"
    channels: int = CHANNELS
    """Of the UNet's finest level; 320 is the real size."""
    frames: tuple[int, ...] = (16, 32, 64)
    runs: int = 7
    """Pairs of steps for a figure."""
    peer: Path | None = None
    """A folder of ComfyUI-AnimateDiff-Evolved."""


def steps(size: Size) -> bool:
    """Print a row for a step without and with the motion module, for each number of frames and cfg."""
    table = Table("Steps", *STEP_COLUMNS)
    plain = build_model(size.channels, PRECISIONS[size.precision])
    moving = with_motion(plain)
    counted = CountedRatios(plain, moving, size.pixels)
    for frames in size.frames:
        for cfg in CFGS:
            for name, model in (("plain", plain), ("module", moving)):
                try:
                    seconds, ratio = step_cells(model, plain, cfg, frames, size.pixels, size.runs)
                    expected = 1.0 if model is plain else counted.of(frames)
                    table.add(name, frames, cfg, seconds, ratio, expected, ratio / expected,
                              peak_gib(model, cfg, frames, size.pixels))
                # Out of memory, as a rule: the next row may fit.
                except RuntimeError as error:
                    table.add_failure(error, name, frames, cfg)
    return not table.failed


def compiled(size: Size) -> bool:
    """Print a row for a compiled step with and without the motion module; each shape is compiled by itself."""
    from comfy_extras.nodes_torch_compile import TorchCompileModel

    table = Table("Compiled by TorchCompileModel, inductor", "network", "frames", "cfg", "step, s", "over plain",
                  "peak, GiB", "first step, s", "graphs", "breaks")
    plain = build_model(size.channels, PRECISIONS[size.precision])
    for name, model in (("module, compiled", with_motion(plain)), ("plain, compiled", plain)):
        for frames in size.frames:
            for cfg in CFGS:
                torch._dynamo.reset()
                torch._dynamo.utils.counters.clear()
                try:
                    faster = TorchCompileModel.execute(model, "inductor").result[0]
                    first = step(faster, cfg, size.pixels, frames)
                    seconds, ratio = step_cells(faster, plain, cfg, frames, size.pixels, size.runs)
                    counters = torch._dynamo.utils.counters
                    table.add(name, frames, cfg, seconds, ratio, peak_gib(faster, cfg, frames, size.pixels), first,
                              counters["stats"]["unique_graphs"], sum(counters["graph_break"].values()))
                # Also what inductor raises, for example where there is no compiler.
                except RuntimeError as error:
                    table.add_failure(error, name, frames, cfg)
    return not table.failed


def kernels(size: Size) -> bool:
    """Print a row for attention at the shapes of each level's sites."""
    add_kernel_rows(size.channels, size.frames, size.pixels, PRECISIONS[size.precision], size.runs)
    return True


def whole_run(size: Size) -> bool:
    """Print a row for each stage of a run of 4 steps."""
    parts = stand_in_parts(size.channels, PRECISIONS[size.precision])
    add_stage_rows(*parts, frames=size.frames[0], pixels=size.pixels, runs=size.runs)
    return True


def peer(size: Size) -> bool:
    """Measure the other pack in a process of its own, since it changes functions of ComfyUI's."""
    if size.peer is None:
        print("\nNo other pack beside it: --peer PATH names a folder of ComfyUI-AnimateDiff-Evolved", flush=True)
        return True
    options = {"--pixels": size.pixels, "--precision": size.precision, "--runs": size.runs}
    command = [sys.executable, STANDALONE, "tools.benchmarks.peer", size.peer, "--frames", *size.frames]
    command += [word for pair in options.items() for word in pair]
    return subprocess.run([str(word) for word in command]).returncode == 0


SECTIONS: dict[str, Callable[[Size], bool]] = {
    "steps": steps, "kernels": kernels, "run": whole_run, "compiled": compiled, "peer": peer}
"""In this order; each returns whether all of its rows could be measured."""


def machine() -> str:
    """Return what the figures are of."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU ({platform.machine()})"
    return f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads"


def main(words: list[str], size: argparse.Namespace) -> int:
    """Measure what the words ask for at a size, precision and number of runs; return the exit status."""
    parser = argparse.ArgumentParser(prog="dev.py bench --table", description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=Size.frames, help="of a clip, one or more numbers")
    parser.add_argument("--channels", type=int, default=CHANNELS, help="of the UNet's finest level; 320 is real")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--peer", type=Path, help="a folder of ComfyUI-AnimateDiff-Evolved")
    chosen = parser.parse_args(words)
    if chosen.peer is not None and not (chosen.peer / "__init__.py").is_file():
        parser.error(f"--peer {chosen.peer} is not the folder of a pack: it has no __init__.py")
    measured = Size(size.pixels, size.precision, chosen.channels, tuple(chosen.frames), size.runs, chosen.peer)
    print(f"{machine()}, {measured.pixels} x {measured.pixels} pixels, {measured.precision}", flush=True)
    start, missing = time.perf_counter(), []
    for name in chosen.sections:
        if not SECTIONS[name](measured):
            missing.append(name)
        # A section's networks have to be gone before the next one's memory is measured.
        free_memory()
    print(json.dumps({"seconds": round(time.perf_counter() - start), "sections_with_missing_rows": missing}))
    return 1 if missing else 0


def free_memory() -> None:
    """Give back what the host holds on the device."""
    import comfy.model_management

    comfy.model_management.unload_all_models()
    comfy.model_management.soft_empty_cache()

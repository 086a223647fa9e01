"""Train without the graph: distil a spatial LoRA (image) or a motion module (motion), or tune an adapter (adapt).

    python train.py training.toml                                     everything is in the file
    python train.py --stage image --preset tiny --data photographs    everything else is the preset's
    accelerate launch train.py training.toml                          on all GPUs of this machine

COMFYUI_PATH has to name a ComfyUI folder, whose Python this needs, with the packages accelerate and tensorboard. Killed
and started again, a run goes on from its last checkpoint. docs/training.md explains the settings.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import standalone

ARGUMENTS = ("stage", "preset", "method", "data", "model", "motion", "lora", "control_net", "schedule", "name",
             "output")
NUMBERS = {"steps": ("loop", int), "learning_rate": ("loop", float), "accumulation": ("loop", int),
           "save_every": ("loop", int), "seed": ("training", int), "batch": ("training", int),
           "num_frames": ("training", int), "height": ("training", int), "width": ("training", int)}
"""Numbers that can be given as arguments: {name: (table of the TOML file, type)}."""

PATIENCE = timedelta(days=7)
"""How long processes wait for one another: one encodes all clips. Where one dies, the launcher ends the others."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", help="a TOML file; arguments override what it says")
    for name in ARGUMENTS:
        parser.add_argument(f"--{name.replace('_', '-')}")
    for name, (_, kind) in NUMBERS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    parser.add_argument("--no-log", action="store_true", help="write no TensorBoard log")
    return parser.parse_args(arguments)


def given(options: argparse.Namespace, file: dict) -> dict:
    """Return what the TOML file says, with the arguments over it."""
    merged = {**file, **{name: value for name in ARGUMENTS if (value := getattr(options, name)) is not None}}
    for name, (table, _) in NUMBERS.items():
        # A table that is none is named by whoever reads the plan.
        if (value := getattr(options, name)) is not None and isinstance(merged.get(table, {}), dict):
            merged[table] = {**merged.get(table, {}), name: value}
    return merged


def main() -> None:
    """Read the plan, encode the data, train, and write the result."""
    options = parse()
    needed = ("accelerate",) if options.no_log else ("accelerate", "tensorboard")
    if missing := [name for name in needed if find_spec(name) is None]:
        sys.exit(f"error: {' and '.join(missing)} is not installed: pip install {' '.join(missing)}"
                 + ("" if options.no_log else "; or train with --no-log"))
    standalone.register()
    from animatelcm.training.options import plan, read_toml

    run(plan(given(options, read_toml(options.file) if options.file else {})), log=not options.no_log)


def run(plan, log: bool) -> None:
    """Do what the plan says, in this process and those that run beside it."""
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs
    from animatelcm.host.training import headless
    from animatelcm.training.cache import fill_cache
    from animatelcm.training.data import scan
    from comfy.cli_args import args

    output_dir = plan.options.output
    accelerator = Accelerator(cpu=args.cpu, log_with="tensorboard" if log else None, project_dir=output_dir,
                              kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)])
    together, report = _together(accelerator), accelerator.print
    loaded, parts = together.all(lambda: (
        loaded := headless.load(plan.options.model), headless.parts_of(plan, loaded)))
    found = together.all(lambda: scan(plan.options.data, plan.clips, hints=plan.options.control_net is not None))
    clips = None
    for first in (True, False):
        # One process encodes, and the others find it in the cache.
        if mine := together.all(lambda turn=first: fill_cache(
                found, plan.clips, plan.views, loaded.encoders(), output_dir / "cache", _progress(report))
                if accelerator.is_main_process == turn else None):
            clips = mine
    report(clips.folder.report())
    if log:
        accelerator.init_trackers(plan.options.name)
    try:
        write = headless.train_parts(
            parts, clips, lambda stage, config: run_loop(stage, config, plan, accelerator, together), report)
    except BaseException as reason:
        together.leave(reason)
        raise
    accelerator.end_training()
    if accelerator.is_main_process:
        report(f"written: {' and '.join(map(str, write(output_dir / plan.options.name)))}")


def _together(accelerator):
    """Return what this process knows of those that run beside it."""
    from animatelcm.training.decisions import Together

    def average(tensors) -> None:
        for tensor in tensors:
            tensor.copy_(accelerator.reduce(tensor, reduction="mean"))

    return Together(average if accelerator.num_processes > 1 else None, accelerator.device)


def run_loop(stage, config, plan, accelerator, together) -> list[float]:
    """Run the stage's loop on all processes, with one line and one log entry for each step."""
    from animatelcm.training.loop import nothing_left, train
    from animatelcm.training.processes import interrupts_noted, shared

    own = shared(stage, config.loop.accumulation, accelerator.process_index, accelerator.num_processes)
    checkpoint = plan.options.output / f"{plan.options.name}.pt"
    losses = []
    reports = train(own, config.loop, checkpoint, together, accelerator.is_main_process)
    # Alone, a process stops at once; several wait for the end of a step, since none may leave another in its middle.
    with interrupts_noted(accelerator.num_processes > 1) as noted, closing(reports):
        for report in reports:
            losses.append(report.loss)
            accelerator.log({"loss": report.loss, "learning_rate": report.learning_rate,
                             "gradient_norm": report.gradient_norm, "seconds": report.seconds}, step=report.step)
            accelerator.print(f"step {report.step} of {config.loop.steps}, loss {report.loss:.5g}, "
                              f"{report.seconds:.2g} s", flush=True)
            if noted:
                raise KeyboardInterrupt(noted[0])
    if not losses:
        accelerator.print(nothing_left(config.loop))
    return losses


def _progress(report: Callable[..., None]) -> Callable[[int, int], None]:
    """Return what prints each tenth of the encoding."""
    reported = set()

    def progress(done: int, total: int) -> None:
        if (tenth := 10 * done // total) not in reported:
            reported.add(tenth)
            report(f"encoding clips and captions: {done} of {total}", flush=True)

    return progress


if __name__ == "__main__":
    try:
        with standalone.stopping("; with the same settings it goes on from its last whole step"):
            main()
    except (ValueError, MemoryError, FloatingPointError, OSError) as error:
        sys.exit(f"error: {error}")
    except RuntimeError as error:
        # torch's own kind of a MemoryError, known without importing torch for every message.
        if type(error).__name__ != "OutOfMemoryError":
            raise
        sys.exit(f"error: the memory of the device is full ({error}). Choose a smaller preset or batch, fewer frames "
                 "or smaller images")

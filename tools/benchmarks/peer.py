"""Measure a step with the motion module of ComfyUI-AnimateDiff-Evolved beside one with ours.

    python standalone.py tools.benchmarks.peer PATH/ComfyUI-AnimateDiff-Evolved --pixels 512 --precision fp16

Both get the same stand-in motion file and the same noise. The last column is how far a step's result is from ours,
relative RMS; in the row of the plain network it is what no motion module at all would give. The other pack changes
functions of ComfyUI's in its process, so this runs in one of its own, and it knows no other size than the real one.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from .bench import PRECISIONS, UNET_CONFIG, build_model
from .rows import Table, peak_gib, step_cells
from .standins import motion_shapes, values

CFGS = (1.0, 1.5)


def write_motion_file(models: Path) -> Path:
    """Write a stand-in motion file into the folder where both packs look."""
    path = models / "animatediff_models" / "stand-in.safetensors"
    path.parent.mkdir(parents=True)
    save_file(dict(values(motion_shapes(), 3)), path, {"format": "pt"})
    return path


def load_pack(path: Path) -> dict[str, type]:
    """Return the node classes of ComfyUI after it has loaded a pack."""
    import nodes

    known = set(nodes.NODE_CLASS_MAPPINGS)
    if not asyncio.run(nodes.load_custom_node(str(path.resolve()))):
        raise SystemExit(f"error: ComfyUI could not load the pack in {path}; the reason is above")
    if not any(name.startswith("ADE_") for name in nodes.NODE_CLASS_MAPPINGS.keys() - known):
        raise SystemExit(f"error: the pack in {path} has no node ADE_...; --peer takes ComfyUI-AnimateDiff-Evolved")
    return nodes.NODE_CLASS_MAPPINGS


def with_peer(model, classes: dict[str, type], file: str):
    """Return a clone of the MODEL with the other pack's motion module, by its nodes."""
    loaded, = classes["ADE_LoadAnimateDiffModel"]().load_motion_model(file)
    applied, = classes["ADE_ApplyAnimateDiffModelSimple"]().apply_motion_model(loaded)
    return classes["ADE_UseEvolvedSampling"]().use_evolved_sampling(model, "use existing", applied)[0]


def one_step(model, frames: int, pixels: int) -> Tensor:
    """Return the latents after one step of the stock sampler."""
    import comfy.sample

    latent = torch.zeros(frames, 4, pixels // 8, pixels // 8)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
    conds = [[[torch.zeros(1, 77, UNET_CONFIG["context_dim"]), {}]] for _ in range(2)]
    with torch.inference_mode():
        return comfy.sample.sample(model, noise, 1, 1.0, "euler", "simple", *conds, latent, seed=0, disable_pbar=True)


def relative_rms(value: Tensor, reference: Tensor) -> float:
    return ((value - reference).double().square().mean() / reference.double().square().mean()).sqrt().item()


def measure(peer: Path, models: Path, size: argparse.Namespace) -> bool:
    """Print the rows; return whether all could be measured."""
    file = write_motion_file(models)
    # Before ComfyUI reads where its folders are: the pack makes folders among the models.
    from comfy.cli_args import args

    args.base_directory = str(models.parent)
    from ...host.motion import apply_motion, load_motion

    plain = build_model(dtype=PRECISIONS[size.precision])
    moving = apply_motion(plain, load_motion(file), 1.0, None)
    networks = {"plain": plain, "module": moving, "other pack": with_peer(plain, load_pack(peer), file.name)}
    table = Table(f"Beside {peer.resolve().name}", "network", "frames", "cfg", "step, s", "over plain", "peak, GiB",
                  "from ours")
    for frames in size.frames:
        ours = one_step(moving, frames, size.pixels)
        for cfg in CFGS:
            for name, model in networks.items():
                try:
                    table.add(name, frames, cfg, *step_cells(model, plain, cfg, frames, size.pixels, size.runs),
                              peak_gib(model, cfg, frames, size.pixels),
                              relative_rms(one_step(model, frames, size.pixels), ours))
                except RuntimeError as error:
                    table.add_failure(error, name, frames, cfg)
    return not table.failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", type=Path, help="a folder of ComfyUI-AnimateDiff-Evolved")
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--frames", type=int, nargs="+", default=[16])
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16")
    parser.add_argument("--runs", type=int, default=7)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not measure(chosen.peer, Path(folder) / "models", chosen):
            raise SystemExit(1)


if __name__ == "__main__":
    main()

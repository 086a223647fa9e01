"""Compare whole image-to-video runs with diffusers and plain formulae, on the same random weights and noise.

    python dev.py parity-image-to-video             a tiny model
    python dev.py parity-image-to-video --full      Stable Diffusion 1.5's size in float32: 11 GB of memory

diffusers has no image encoder: on its side the features come from the formulae in reference_encoder.py, in float64,
and are added to what its last temporal transformer of each level on the way down is given. On the other side
the host with this pack reads both networks from one motion file. Compared are one reference image for all frames and
one for each. Text, noise and tolerance are those of tools.benchmarks.parity. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from . import diffusers_side as diffusers
from . import parity, reference_encoder
from .clock import Clock
from .parity import TOLERANCE, Result
from .parity_cases import FULL, TINY, Sampled, Size, inputs

STEPS, CFG = (1, 4), (1.0, 1.5)
BETA_END, ORIGINAL_STEPS = 0.014, 200
MOTION_SCALE, LEVEL_WEIGHTS = 0.8, (1.0, 0.5, 2.0, 1.0)
NAME = "{}, steps {}, cfg {}"
ONE, EACH = "one image", "an image for each frame"
Case = tuple[str, int, float]
"""References, steps and cfg."""


def cases() -> list[Case]:
    """Return every case."""
    return list(itertools.product((ONE, EACH), STEPS, CFG))


def reference_latents(size: Size, references: str) -> Tensor:
    """Return reference latents in the UNet's scale, 1 or f 4 h w."""
    shape = (size.num_frames if references == EACH else 1, 4, size.latent, size.latent)
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


def write_file(path: Path, adapter, encoder_weights: dict[str, Tensor]) -> None:
    """Write a motion file with diffusers' keys, and the encoder's tensors as in the authors' files."""
    encoder = {f"img_encoder.{key}": weight for key, weight in encoder_weights.items()}
    save_file({key: weight.contiguous() for key, weight in (adapter.state_dict() | encoder).items()}, path)


@contextmanager
def features_added(network, features: list[Tensor]) -> Iterator[None]:
    """Add features, f c h w by level, to what the last motion module of each level on the way down is given."""
    with ExitStack() as hooks:
        for block, feature in zip(network.down_blocks, features, strict=True):
            def add(module, args, feature=feature):
                return args[0] + feature.to(args[0]), *args[1:]

            hooks.callback(block.motion_modules[-1].register_forward_pre_hook(add).remove)
        yield


def diffusers_side(unet, adapter, encoder_weights: dict[str, Tensor], size: Size, wanted: list[Case],
                   progress: Callable[[str], None] = lambda text: None) -> dict[Case, Sampled]:
    """Run the cases in diffusers; `progress` is called after each."""
    from diffusers import UNetMotionModel

    text, noise = inputs(size)
    network = UNetMotionModel.from_unet2d(unet, adapter).eval()
    diffusers.use_frame_norm(network)
    runs = {}
    for references, steps, cfg in wanted:
        features = reference_encoder.features(
            encoder_weights, reference_latents(size, references), size.num_frames, MOTION_SCALE)
        weighted = [weight * feature for weight, feature in zip(LEVEL_WEIGHTS, features, strict=True)]
        with features_added(network, weighted):
            runs[references, steps, cfg] = diffusers.run_diffusers(
                network, text, noise, steps, cfg, BETA_END, ORIGINAL_STEPS)
        progress(f"diffusers, {NAME.format(references, steps, cfg)}: done")
    return runs


def host_side(unet_weights: dict[str, Tensor], path: Path, size: Size) -> Iterator[tuple[Case, Sampled]]:
    """Run every case in the host, with the reference through the same door as the node's."""
    from ...host.image_to_video import apply_image_to_video
    from ...host.motion import load_motion
    from ...samplers.schedules import SCHEDULES

    text, noise = inputs(size)
    bare, motion = parity.host_model(unet_weights, size), load_motion(path)
    latent_format = bare.get_model_object("latent_format")
    for references, steps, cfg in cases():
        latents = latent_format.process_out(reference_latents(size, references))
        model = apply_image_to_video(
            bare, motion, latents, MOTION_SCALE, LEVEL_WEIGHTS, 1.0, SCHEDULES[motion.schedule])
        yield (references, steps, cfg), parity.run_host(model, True, text, noise, steps, cfg)


def compare(size: Size, folder: Path, progress: Callable[[str], None]) -> Iterator[Result]:
    """Yield the result of every case, holding one side in memory at a time."""
    progress("making diffusers' networks")
    unet, adapter = diffusers.diffusers_networks(size)
    encoder_weights = reference_encoder.random_weights(size.channels)
    path, unet_weights = folder / "image-to-video.safetensors", unet.state_dict()
    write_file(path, adapter, encoder_weights)
    expected = diffusers_side(unet, adapter, encoder_weights, size, cases(), progress)
    del unet, adapter
    gc.collect()
    progress("making the host's networks")
    for case, run in host_side(unet_weights, path, size):
        yield parity.result_of(NAME.format(*case), run, expected[case])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="compare at Stable Diffusion 1.5's size")
    size = FULL if parser.parse_args().full else TINY
    parity.all_digits()
    clock, results = Clock(), []
    with tempfile.TemporaryDirectory() as folder:
        for result in compare(size, Path(folder), clock.report):
            clock.report(f"{result.case:<42} relative RMS {result.relative_rms:.2e}")
            results.append(result)
    worst = max(result.relative_rms for result in results)
    timesteps_agree = all(result.timesteps_agree for result in results)
    passed = worst <= TOLERANCE and timesteps_agree
    print(json.dumps({"passed": passed, "worst_relative_rms": worst, "tolerance": TOLERANCE,
                      "timesteps_agree": timesteps_agree, "seconds": round(clock.seconds(), 1)}))
    raise SystemExit(not passed)


if __name__ == "__main__":
    main()

"""Train the demo model's codec, and measure what it keeps of the world.

    python standalone.py tools.demo.codec_training [--steps N] [--folder FOLDER] [--seed N]

Resumes from its checkpoint after any end, a kill included. Prints a line every 500 steps, and at the end, or with
`--export` at any time, writes `weights/codec.safetensors` in the folder, with what it keeps of scenes never seen.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from contextlib import closing
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ...demo.autoencoder import CELL, COLOUR_MATRIX, Autoencoder
from ...demo.scenes import FRAMES, draw, random_scene
from ...storage.atomic import replacing
from ...training import checkpoints, ema, loop
from ...training.config import LoopConfig
from ...training.fingerprint import of_code
from ...training.origin import Origin
from ...training.trainer import Stage

NOISE = 0.05
"""Most noise on a latent, as a share of its channel's spread: a sampler's latents are not perfect."""
CODE = ("demo", "tools/demo/codec_training.py")
"""What decides a step: the world, and what is asked of the codec."""
REPORT_EVERY = 500
BANDS = 7
"""Groups of frequencies of a block of 8 x 8 pixels, by their distance from the mean."""


# The data of a step.

def frames_at(rng: random.Random, count: int) -> Tensor:
    """Draw single frames of random scenes, (count, 3, SIZE, SIZE), values 0 to 1."""
    return torch.cat([draw(random_scene(rng), [rng.randrange(FRAMES)]).frames for _ in range(count)])


def held_out(count: int) -> Tensor:
    """Draw frames that no training sees."""
    return frames_at(random.Random("held out"), count)


# The loss.

def codec_loss(codec: Autoencoder, seed: int, step: int, frames: int = 4) -> Tensor:
    """How far decoded frames are from the true ones: in colour, in edges, and in the strength of each band."""
    device = codec.mean.device
    picture = frames_at(random.Random(f"codec {seed} {step}"), frames)
    picture = picture.to(device).contiguous(memory_format=torch.channels_last)
    raw = codec.raw_latent(picture)
    random_numbers = torch.Generator().manual_seed(seed * 10_000_019 + step)
    strength = NOISE * torch.rand(len(raw), 1, 1, 1, generator=random_numbers)
    noise = (torch.randn(raw.shape, generator=random_numbers) * strength).to(device)
    decoded = codec.picture(raw + noise * raw.detach().float().std((0, 2, 3), keepdim=True)).float()
    edges = sum(F.l1_loss(decoded.diff(dim=axis), picture.diff(dim=axis)) for axis in (2, 3))
    return (F.l1_loss(decoded, picture) + 2 * F.mse_loss(decoded, picture) + 0.25 * edges
            + 0.05 * lost_strength(decoded, picture))


def transform(size: int = CELL) -> Tensor:
    """Return the discrete cosine transform of blocks as filters, (size * size, 1, size, size)."""
    at = (torch.arange(size) + 0.5) * math.pi / size
    rows = torch.stack([torch.cos(at * order) * math.sqrt((1 if order == 0 else 2) / size) for order in range(size)])
    return torch.einsum("uy,vx->uvyx", rows, rows).reshape(size * size, 1, size, size)


def band_of_each(size: int = CELL) -> Tensor:
    """Return the group that each frequency belongs to, 0 for the mean, then 1 to BANDS: (size * size,)."""
    order = torch.arange(size)
    return torch.hypot(order.view(-1, 1).float(), order.view(1, -1).float()).round().long().clamp(max=BANDS).flatten()


def block_energies(picture: Tensor) -> Tensor:
    """Return the energy of each band in each block of the brightness: (b, BANDS, h / 8, w / 8)."""
    weights = torch.tensor(COLOUR_MATRIX[0]).to(picture).view(1, 3, 1, 1)
    bright = (picture.float() * weights).sum(1, keepdim=True)
    with torch.autocast(picture.device.type, enabled=False):
        squares = F.conv2d(bright, transform().to(bright), stride=CELL).square()
    groups = F.one_hot(band_of_each(), BANDS + 1)[:, 1:].to(squares)
    return (squares.unsqueeze(2) * groups.view(1, -1, BANDS, 1, 1)).sum(1)


def lost_strength(decoded: Tensor, picture: Tensor) -> Tensor:
    """Return how much the strength of each band differs in each block, as a share of what it usually is.

    The other errors leave out what they cannot place, such as fine texture: a mean of what may be there is none of it.
    Here every band counts alike, however weak it is.
    """
    made, true = ((block_energies(clip) + 1e-6).sqrt() for clip in (decoded, picture))
    return ((made - true).abs().mean((0, 2, 3)) / true.mean((0, 2, 3))).mean()


# What it keeps.

def measure(codec: Autoencoder, pictures: Tensor) -> dict[str, float | list[float]]:
    """Return what is kept of pictures, values 0 to 1: the signal-to-noise ratio in dB and the bands' energies."""
    with torch.inference_mode():
        decoded = torch.cat([(codec.decode(codec.encode(part * 2 - 1)) + 1).div(2).clamp(0, 1)
                             for part in pictures.split(16)])
        error = (decoded - pictures).square().mean((1, 2, 3))
        kept = block_energies(decoded).sum((0, 2, 3)) / block_energies(pictures).sum((0, 2, 3))
    return {"psnr": float((-10 * error.log10()).mean()), "psnr of the mean error": float(-10 * error.mean().log10()),
            "bands": [round(float(share), 3) for share in kept], "energy": float(kept.mean())}


def standardise(codec: Autoencoder, count: int = 400) -> None:
    """Give the latents unit variance over the world, and find the colours that they stand for in previews."""
    pictures = frames_at(random.Random("standardise"), count)
    with torch.inference_mode():
        raw = torch.cat([codec.raw_latent(part) for part in pictures.split(16)])
        codec.mean.copy_(raw.mean((0, 2, 3), keepdim=True))
        codec.spread.copy_(raw.std((0, 2, 3), keepdim=True))
        z = ((raw - codec.mean) / codec.spread).permute(0, 2, 3, 1).reshape(-1, 4)
        colours = (F.avg_pool2d(pictures, CELL) * 2 - 1).permute(0, 2, 3, 1).reshape(-1, 3)
        found = torch.linalg.lstsq(torch.cat([z, torch.ones(len(z), 1)], dim=1), colours).solution
        codec.rgb_factors.copy_(found[:4])
        codec.rgb_bias.copy_(found[4])


# The run.

def new_codec(seed: int) -> Autoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Autoencoder()


def config(steps: int) -> LoopConfig:
    """Return how the codec is trained; bfloat16 makes a step a third shorter on a CPU that has it."""
    return LoopConfig(steps, 1e-3, rate="cosine", warmup=min(100, steps // 2), betas=(0.9, 0.99), weight_decay=1e-3,
                      precision="bfloat16", clip=0.5, ema=0.999, ema_warmup=True)


def train_autoencoder(steps: int, folder: Path, seed: int, device: torch.device) -> None:
    """Train to the end, from the checkpoint if there is one, and export."""
    codec = new_codec(seed).to(device).to(memory_format=torch.channels_last)
    parameters = dict(codec.named_parameters())
    origin = Origin({"seed": seed}).and_contents(code_of_demo=of_code(*CODE))
    stage = Stage("codec", parameters, lambda step: codec_loss(codec, seed, step), parameters, ema.copies(parameters),
                  origin=origin)
    tested, begun, first, smooth = held_out(48), time.monotonic(), None, None
    with closing(loop.train(stage, config(steps), folder / "codec.pt")) as reports:
        for report in reports:
            first = report.step - 1 if first is None else first
            smooth = report.loss if smooth is None else 0.99 * smooth + 0.01 * report.loss
            if report.step % REPORT_EVERY == 0 or report.step == steps:
                pace = (time.monotonic() - begun) / (report.step - first)
                kept = measure(averaged(stage.average), tested)
                print(f"step {report.step}/{steps} loss {smooth:.4f} PSNR {kept['psnr']:.2f} dB energy "
                      f"{kept['energy']:.3f} bands {kept['bands']} {pace:.3f} s a step, "
                      f"{pace * (steps - report.step) / 60:.0f} min to go", flush=True)
    export(folder)


def averaged(average: dict[str, Tensor]) -> Autoencoder:
    """Return a codec with these weights, ready to use on the CPU."""
    codec = Autoencoder()
    weights: dict[str, nn.Parameter] = dict(codec.named_parameters())
    checkpoints.fill(Path("codec"), "average", weights, {name: value.cpu() for name, value in average.items()})
    standardise(codec, 32)
    return codec.eval().requires_grad_(False)


def export(folder: Path) -> None:
    """Write the codec of the checkpoint in half precision, and say what it keeps of scenes never seen."""
    codec = averaged(checkpoints.load(folder / "codec.pt", torch.device("cpu"))["average"])
    standardise(codec)
    target = folder / "weights" / "codec.safetensors"
    with replacing(target) as unfinished:
        save_file({name: value.half().contiguous() for name, value in codec.state_dict().items()}, unfinished)
    print(f"{target}: {measure(codec, held_out(200))}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=16_000)
    parser.add_argument("--folder", type=Path, default=Path("output") / "codec")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--export", action="store_true", help="only write the codec as the checkpoint has it")
    chosen = parser.parse_args()
    if chosen.export:
        export(chosen.folder)
    else:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        train_autoencoder(chosen.steps, chosen.folder, chosen.seed, device)


if __name__ == "__main__":
    main()

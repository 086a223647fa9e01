"""Time the stages of a whole run: text, sampling in 4 steps, decoding, with stand-ins of the real sizes."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from .bench import build_model, wait, with_motion
from .rows import Table
from .standins import checkpoint_shapes, values

PROMPT = "a boat on a lake at sunset, waves, clouds, detailed, film still"
STEPS = 4
T = TypeVar("T")


def stand_in_parts(channels: int, dtype: torch.dtype) -> tuple[Any, Any, Any]:
    """Return a MODEL with a motion module, and a CLIP and a VAE of the real size whatever the channels."""
    import comfy.sd

    shapes = {key: shape for key, shape in checkpoint_shapes().items() if not key.startswith("model.")}
    weights = dict(values(shapes, 1))

    def part(prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}

    clip = comfy.sd.load_text_encoder_state_dicts([part("cond_stage_model.transformer.")])
    return with_motion(build_model(channels, dtype)), clip, comfy.sd.VAE(sd=part("first_stage_model."))


def stage_seconds(model, clip, vae, frames: int, pixels: int) -> dict[str, float]:
    """Run once, as the nodes of a graph do; return the seconds of each stage."""
    import comfy.sample

    latent = torch.zeros(frames, 4, pixels // 8, pixels // 8)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        encoding, conds = _timed(lambda: [clip.encode_from_tokens_scheduled(clip.tokenize(text))
                                          for text in (PROMPT, "")])
        sampling, latent = _timed(lambda: comfy.sample.sample(
            model, noise, STEPS, 1.0, "lcm", "simple", *conds, latent, seed=0, disable_pbar=True))
        decoding, _ = _timed(lambda: vae.decode(latent))
    return {"text": encoding, f"sampling, {STEPS} steps": sampling, "decoding": decoding}


def add_stage_rows(model, clip, vae, frames: int, pixels: int, runs: int) -> None:
    """Print a row for each stage: its median seconds, and its share of the run."""
    table = Table(f"A whole run of {frames} frames", "stage", "s", "share")
    # Once before, which loads the networks.
    stage_seconds(model, clip, vae, frames, pixels)
    measured = [stage_seconds(model, clip, vae, frames, pixels) for _ in tqdm(range(runs), desc="whole runs")]
    medians = {stage: median(run[stage] for run in measured) for stage in measured[0]}
    for stage, seconds in medians.items():
        table.add(stage, seconds, f"{seconds / sum(medians.values()):.1%}")


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    wait()
    start = time.perf_counter()
    result = work()
    wait()
    return time.perf_counter() - start, result

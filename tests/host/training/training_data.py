"""A dataset as the host's dataset nodes give it, and requests for short runs on the tiny model."""

from __future__ import annotations

from dataclasses import replace

import folder_paths
import torch
from animatelcm.host.training import runs
from animatelcm.host.training.dataset import NodeData
from animatelcm.host.training.runs import Request
from animatelcm.tests.host import controls
from animatelcm.tests.support import conditioning, noise_for
from animatelcm.training.config import PRESETS, LoRAConfig
from animatelcm.training.memory import Estimate

SCHEDULE = "AnimateLCM text-to-video"


def data(frames: int = 3, clips: int = 2, hints: bool = False) -> NodeData:
    with torch.inference_mode():
        return NodeData([{"samples": noise_for(frames, seed) / 0.18215} for seed in range(clips)],
                        [conditioning(seed) for seed in range(clips)], conditioning(9),
                        [controls.hints(frames, seed) for seed in range(clips)] if hints else None)


def request(stage: str, name: str | None = None, steps: int = 2, told: list | None = None, preview_every: int = 0,
            **changes) -> Request:
    config = PRESETS["tiny"][stage]
    config = replace(config, batch=1, num_frames=3, lora=LoRAConfig(rank=2, alpha=4.0),
                     loop=replace(config.loop, steps=steps, warmup=0, learning_rate=1e-2), **changes)
    tell = told.append if told is not None else print
    return Request(config, SCHEDULE, stage if name is None else name, preview_every, tell)


def short_runs(monkeypatch, path):
    """Let the host's output folder be `path` during a test; the memory estimate, tested elsewhere, costs no time."""
    monkeypatch.setattr(folder_paths, "output_directory", str(path))
    monkeypatch.setattr(runs, "estimate", lambda *args: Estimate(0, 0, 2**20, 0, 0))

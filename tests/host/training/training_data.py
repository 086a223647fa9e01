"""A dataset as the host's dataset nodes give it, and trainings as the nodes run them, short ones on the tiny model."""

from __future__ import annotations

from dataclasses import replace

import folder_paths
import torch
from animatelcm.host.training import control_nets, runs
from animatelcm.host.training.dataset import NodeData
from animatelcm.host.training.node_run import NodeRun
from animatelcm.host.training.requests import Request
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


def request(stage: str, name: str | None = None, steps: int = 2, **changes) -> Request:
    config = PRESETS["tiny"][stage]
    config = replace(config, batch=1, num_frames=3, lora=LoRAConfig(rank=2, alpha=4.0),
                     loop=replace(config.loop, steps=steps, warmup=0, learning_rate=1e-2), **changes)
    return Request(config, SCHEDULE, stage if name is None else name)


def in_a_node(training):
    """Return a training of the host's that takes its request last and runs as in a node."""
    def run(model, *rest, report=print, preview_every=0):
        return training(model, *rest, NodeRun(model, rest[-1].name, preview_every, report))
    return run


distil_spatial_lora, distil_motion_module, train_image_encoder, tune_motion_module, adapt_control_net = map(
    in_a_node, (runs.distil_spatial_lora, runs.distil_motion_module, runs.train_image_encoder, runs.tune_motion_module,
                control_nets.adapt_control_net))


def short_runs(monkeypatch, path):
    """Let the host's output folder be `path` during a test; the memory estimate, tested elsewhere, costs no time."""
    monkeypatch.setattr(folder_paths, "output_directory", str(path))
    monkeypatch.setattr(runs, "estimate", lambda *args: Estimate(0, 0, 2**20, 0, 0))

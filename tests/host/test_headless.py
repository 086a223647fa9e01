"""Training from a folder, without the graph."""

from __future__ import annotations

import comfy.controlnet
import torch
from animatelcm.host import headless, training
from animatelcm.tests.host.controls import control_lora
from animatelcm.tests.training.clip_files import numbered_frames, write_video
from animatelcm.training import loop
from animatelcm.training.cache import prepare
from animatelcm.training.data import scan
from animatelcm.training.memory import Estimate
from animatelcm.training.options import plan
from safetensors.torch import save_file


def test_a_control_net_is_tuned_on_a_folder_of_clips_and_hints(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "estimate", lambda *args: Estimate(0, 0, 2**20, 0, 0))
    given = {key: weight.contiguous() for key, weight in control_lora().control_weights.items()}
    save_file(given, tmp_path / "control.safetensors")
    write_video(tmp_path / "clips" / "a.mp4", numbered_frames(3, 64, 64), "a red circle")
    write_video(tmp_path / "clips" / "a.hint.mp4", numbered_frames(3, 64, 64), caption=None)
    told = plan({"stage": "adapt", "preset": "tiny", "data": str(tmp_path / "clips"), "loop": {"steps": 1},
                 "control_net": str(tmp_path / "control.safetensors"), "views": {"views": 1},
                 "training": {"num_frames": 2, "height": 64, "width": 64}})
    loaded = headless.load("demo")
    clips = prepare(scan(told.options.data, told.clips, hints=True), told.clips, told.views, loaded.encoders(),
                    tmp_path / "cache")
    losses = []

    def walk(stage, config):
        losses.extend(report.loss for report in loop.train(stage, config.loop))
        return losses

    write = headless.train(told, loaded, clips, walk, print)
    [file] = write(tmp_path / "tuned")
    assert file == tmp_path / "tuned.safetensors" and len(losses) == 1
    tuned = comfy.controlnet.load_controlnet(str(file)).control_weights
    zero = "zero_convs.0.0.weight"
    assert tuned[zero].shape == given[zero].shape and not torch.equal(tuned[zero], given[zero])

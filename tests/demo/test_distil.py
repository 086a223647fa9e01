"""Distilling the demo model: its data, and a run of all stages whose files the host's own loaders take."""

from __future__ import annotations

import sys
from dataclasses import replace

import folder_paths
import pytest
import torch
from animatelcm.demo import distil, world
from animatelcm.demo.denoising import finished_image_model
from animatelcm.demo.sampler import DemoSampler, Parts, Settings
from animatelcm.demo.stages import arguments
from animatelcm.host.folders import DEMO_MODELS, register_folders
from animatelcm.host.motion import load_motion
from animatelcm.host.tiny import load_demo_model


@pytest.fixture(scope="module")
def data():
    return distil.WorldData(finished_image_model().context)


def test_batches_are_frames_or_clips_that_their_number_decides(data):
    images, clips = (distil.settings(stage, 10, seed=3) for stage in ("lora", "motion"))
    source = data.source(None, images, torch.device("cpu"))
    assert source(0).latents.shape == (16, 4, 16, 16) and len(source(0).context) == 16
    assert torch.equal(source(5).latents, source(5).latents) and not torch.equal(source(5).latents, source(6).latents)
    clip = data.source(None, clips, torch.device("cpu"))(0)
    assert clip.latents.shape == (1, world.FRAMES, 4, 16, 16) and not clip.conditions
    followed = replace(data, hints=True).source(None, clips, torch.device("cpu"))(0)
    assert followed.conditions["hint"].shape == (1, world.FRAMES, 3, world.SIZE, world.SIZE)
    assert torch.equal(followed.latents, clip.latents)


def test_captions_are_encoded_as_the_host_encodes_them(data):
    clip = load_demo_model()[1]
    caption = "a red circle moving left"
    [[expected, _]] = clip.encode_from_tokens_scheduled(clip.tokenize(caption))
    torch.testing.assert_close(data.context([caption]), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(data.empty(), clip.encode_from_tokens_scheduled(clip.tokenize(""))[0][0],
                               atol=1e-5, rtol=1e-4)


def test_stages_are_chosen_by_name_and_all_by_none(tmp_path, monkeypatch):
    def chosen(*words):
        monkeypatch.setattr(sys, "argv", ["command", *words])
        return arguments("", {"one": 1, "two": 2}, tmp_path / "runs")

    assert chosen().stages == chosen("all").stages == ["one", "two"]
    assert chosen("two").stages == ["two"] and chosen("two", "one").stages == ["one", "two"]
    assert chosen("--two-steps", "7").two_steps == 7 and chosen().two_steps == 2
    with pytest.raises(SystemExit):
        chosen("three")


def test_all_stages_write_files_that_the_next_and_the_sampler_read(tmp_path, monkeypatch):
    steps = [argument for name in distil.RECIPES for argument in (f"--{name}-steps", "1")]
    monkeypatch.setattr(sys, "argv", ["distil", "--folder", str(tmp_path / "runs"), "--models", str(tmp_path), *steps])
    distil.main()
    few, prompt = Settings(1, 1.0, "lcm", "simple", frames=2), "a red circle moving left"
    layout = DemoSampler(Parts(tmp_path / distil.MOTION, (tmp_path / distil.LORA,), tmp_path / distil.FEW_STEP_LAYOUT))
    plain, followed = (layout(prompt, 0, few, hints) for hints in (None, torch.ones(2, 3, 128, 128)))
    assert plain.shape == (2, 3, 128, 128) and plain.isfinite().all() and followed.isfinite().all()
    assert not torch.equal(plain, followed)
    encoder = DemoSampler(Parts(tmp_path / distil.ENCODER, (tmp_path / distil.LORA,)))
    assert encoder(prompt, 0, few, reference=torch.ones(3, 128, 128)).isfinite().all()
    assert load_motion(tmp_path / distil.MOTION).encoder is None
    assert load_motion(tmp_path / distil.ENCODER).encoder is not None
    assert load_motion(tmp_path / distil.ENCODER).schedule == distil.SCHEDULE


def test_the_stock_loaders_list_what_goes_with_the_demo_model():
    register_folders()
    for path in DEMO_MODELS.glob("*/*.safetensors"):
        assert folder_paths.get_full_path(path.parent.name, path.name) == str(path)
        assert path.name.startswith("AnimateLCM_demo_")

"""The one command that trains all that is embedded, from its arguments to files that the host's loaders take."""

from __future__ import annotations

import shutil
import sys

import pytest
import torch
from animatelcm.demo.files import FEW_STEP_LAYOUT, I2V_MOTION, MODELS, MOTION, OWN_MOTION, TEXT, UNET, WEIGHTS
from animatelcm.host.motion import load_motion
from animatelcm.tools.demo import train
from animatelcm.tools.demo.denoising import origin
from animatelcm.tools.demo.sampler import DemoSampler, Parts, Settings, distilled
from animatelcm.tools.demo.stages import Workspace, arguments
from animatelcm.training.checkpoints import CheckpointError
from safetensors.torch import load_file

SHIPPED = [*WEIGHTS.iterdir(), *MODELS.glob("*/*.safetensors")]


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])


def test_stages_are_chosen_by_name_and_all_by_none(tmp_path, monkeypatch):
    def chosen(*words):
        command(monkeypatch, *words)
        return arguments("", {"one": 1, "two": 2}, tmp_path)

    assert chosen()[0] == chosen("all")[0] == {"one": 1, "two": 2}
    assert chosen("two")[0] == {"two": 2} and list(chosen("two", "one")[0]) == ["one", "two"]
    assert chosen("--two-steps", "7")[0]["two"] == 7
    workspace = chosen("--weights", "mine", "--seed", 3)[1]
    assert (workspace.checkpoints, workspace.models, workspace.seed) == (tmp_path, tmp_path / "models", 3)
    assert str(workspace.weights) == "mine"
    with pytest.raises(SystemExit):
        chosen("three")


def test_a_stage_before_those_that_it_needs_says_so(tmp_path, monkeypatch):
    command(monkeypatch, "t2v", "--folder", tmp_path)
    with pytest.raises(SystemExit, match=r"stage t2v .*unet\.safetensors.*--weights and --models"):
        train.main()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Every stage from nothing, for one step each; return the folder."""
    folder = tmp_path_factory.mktemp("nothing")
    before = [path.stat().st_mtime_ns for path in SHIPPED]
    with pytest.MonkeyPatch.context() as patch:
        command(patch, "--folder", folder, *(word for name in train.STAGES for word in (f"--{name}-steps", 1)))
        train.main()
    assert [path.stat().st_mtime_ns for path in SHIPPED] == before
    return folder


def test_a_run_from_nothing_makes_every_file_that_is_shipped(trained):
    def tensors(path):
        return {name: tuple(tensor.shape) for name, tensor in load_file(path).items()}

    for path in SHIPPED:
        made = trained / path.relative_to(WEIGHTS.parent)
        assert tensors(made) == tensors(path), path.name


def test_the_sampler_takes_what_a_run_made(trained):
    few, prompt = Settings(1, 1.0, "lcm", "simple", frames=2), "a red circle moving left"
    parts = distilled(trained / "weights", trained / "models")
    layout = DemoSampler(Parts(parts.motion, parts.loras, trained / "models" / FEW_STEP_LAYOUT, parts.weights))
    plain, followed = (layout(prompt, 0, few, hints) for hints in (None, torch.ones(2, 3, 128, 128)))
    assert plain.shape == (2, 3, 128, 128) and plain.isfinite().all() and followed.isfinite().all()
    assert not torch.equal(plain, followed) and not torch.equal(plain, DemoSampler(distilled())(prompt, 0, few))
    encoder = DemoSampler(Parts(trained / "models" / I2V_MOTION, parts.loras, weights=parts.weights))
    assert encoder(prompt, 0, few, reference=torch.ones(3, 128, 128)).isfinite().all()
    assert load_motion(trained / "models" / MOTION).encoder is None
    motion = load_motion(trained / "models" / I2V_MOTION)
    assert motion.encoder is not None and motion.schedule == "AnimateLCM text-to-video"


@pytest.mark.parametrize(("stage", "start", "end", "share"), [
    ("t2v", f"weights/{OWN_MOTION}", f"models/{MOTION}", 1.0),
    ("i2v", f"models/{MOTION}", f"models/{I2V_MOTION}", 0.5)])
def test_a_motion_file_is_as_far_on_the_way_to_what_was_trained_as_its_stage_says(trained, stage, start, end, share):
    """One file has what it started from, and the checkpoint what it became."""
    before, kept = (load_motion(trained / name).patcher.model.state_dict() for name in (start, end))
    became = torch.load(trained / f"{stage}.pt", weights_only=True)["average"]
    way = torch.cat([(became[f"motion.{name}"] - before[name].float()).flatten() for name in before])
    gone = torch.cat([(kept[name].float() - before[name].float()).flatten() for name in before])
    # One step is less than the file's half precision tells apart, but for the smallest weights.
    small = torch.cat([weight.flatten().abs() for weight in before.values()]) < 1e-2
    way, gone = way[small], gone[small]
    assert small.sum() > 1000 and way.abs().max() > 1e-5
    assert ((gone @ way) / (way @ way)).item() == pytest.approx(share, abs=0.02)


def test_a_killed_run_goes_on_where_it_was(tmp_path, monkeypatch):
    """A later start passes over what is finished, and the rest gives the bits of a run that nobody killed."""
    words = ("codec", "image", "--folder", tmp_path, "--codec-steps", 1, "--image-steps", 3)
    whole = ("codec", "image", "--folder", tmp_path / "whole", *words[4:])
    command(monkeypatch, *whole)
    train.main()
    loss = train.image_loss

    def kill(model, seed, step):
        if step == 2:
            raise KeyboardInterrupt
        return loss(model, seed, step)

    monkeypatch.setattr(train, "image_loss", kill)
    command(monkeypatch, *words)
    with pytest.raises(KeyboardInterrupt):
        train.main()
    steps = []
    monkeypatch.setattr(train, "image_loss", lambda model, seed, step: steps.append(step) or loss(model, seed, step))
    monkeypatch.setattr(train, "codec_loss", None)
    train.main()
    assert steps == [2]
    for name in ("unet", "text"):
        resumed, once = (load_file(path / "weights" / f"{name}.safetensors") for path in (tmp_path, tmp_path / "whole"))
        assert all(torch.equal(resumed[key], once[key]) for key in once)


def test_another_seed_or_another_image_model_is_another_training(tmp_path, monkeypatch):
    """Under the same folder the old weights would come back, whatever was asked for."""
    words = ("codec", "--folder", tmp_path, "--codec-steps", 1)
    command(monkeypatch, *words)
    train.main()
    train.main()
    command(monkeypatch, *words, "--seed", 1)
    with pytest.raises(CheckpointError, match="codec.pt belongs to another training: seed 1, was 0"):
        train.main()
    before = origin(Workspace(tmp_path, WEIGHTS, tmp_path), UNET, TEXT)
    shutil.copytree(WEIGHTS, tmp_path / "other")
    shutil.copy(WEIGHTS / TEXT, tmp_path / "other" / UNET)
    own = origin(Workspace(tmp_path, tmp_path / "other", tmp_path), UNET, TEXT)
    assert own.differences(before, 0) == ["another unet"]

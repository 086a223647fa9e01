"""The one command that trains all that is embedded, from its arguments to files that the host's loaders take."""

from __future__ import annotations

import shutil
import sys

import pytest
import torch
from animatelcm.demo.files import FEW_STEP_LAYOUT, I2V_MOTION, MODELS, MOTION, OWN_MOTION, TEXT, UNET, WEIGHTS
from animatelcm.host.motion import load_motion
from animatelcm.tools.demo import train
from animatelcm.tools.demo.additions import origin
from animatelcm.tools.demo.sampler import DemoSampler, Parts, Settings, distilled
from animatelcm.tools.demo.sessions import run, stage_of
from animatelcm.tools.demo.sheets import Looks
from animatelcm.tools.demo.stages import Workspace, arguments
from animatelcm.training.checkpoints import CheckpointError, load
from safetensors.torch import load_file
from torch import nn

SHIPPED = [*WEIGHTS.iterdir(), *MODELS.glob("*/*.safetensors")]
CPU = torch.device("cpu")


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])


@pytest.fixture(autouse=True, scope="module")
def few_looks():
    """Sheets of what a stage makes take longer than its steps here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Looks, "__call__", lambda self, step: self.export(self.average, self.folder / "weights"))
        yield


def test_stages_are_chosen_by_name_and_all_by_none(tmp_path, monkeypatch):
    def chosen(*words):
        command(monkeypatch, *words)
        return arguments("", {"one": 1, "two": 2}, tmp_path)

    assert chosen()[0] == chosen("all")[0] == {"one": 1, "two": 2}
    assert chosen("two")[0] == {"two": 2} and list(chosen("two", "one")[0]) == ["one", "two"]
    assert chosen("--two-steps", "7")[0]["two"] == 7
    workspace = chosen("--folder", "mine", "--seed", 3, "--minutes", 5, "--clips", 100)[1]
    assert (str(workspace.models), workspace.seed, workspace.minutes, workspace.clips) == ("mine/models", 3, 5.0, 64)
    with pytest.raises(SystemExit):
        chosen("three")


def test_a_stage_before_those_that_it_needs_says_so(tmp_path, monkeypatch):
    command(monkeypatch, "t2v", "--folder", tmp_path)
    with pytest.raises(SystemExit, match=r"stage t2v .*unet\.safetensors.*Run that one first"):
        train.main()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Every stage from nothing, for one step each; return the folder."""
    folder = tmp_path_factory.mktemp("nothing")
    before = [path.stat().st_mtime_ns for path in SHIPPED]
    with pytest.MonkeyPatch.context() as patch:
        steps = (word for name in train.STAGES for word in (f"--{name}-steps", 1))
        command(patch, "--folder", folder, "--images", 64, "--clips", 64, *steps)
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
    few, prompt = Settings(1, 1.0, "lcm", "simple", frames=2), "a penguin running left in the snow"
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


def test_what_is_finished_is_passed_over(trained, monkeypatch):
    kept = {name: (trained / "weights" / name).read_bytes() for name in (UNET, TEXT, OWN_MOTION)}
    command(monkeypatch, "codec", "image", "motion", "--folder", trained, "--images", 64, "--clips", 64,
            "--image-steps", 1, "--motion-steps", 1)
    train.main()
    assert kept == {name: (trained / "weights" / name).read_bytes() for name in kept}


def test_another_seed_or_another_image_model_is_another_training(trained, tmp_path, monkeypatch):
    """Under the same folder the old weights would come back, whatever was asked for."""
    command(monkeypatch, "layout", "--folder", trained, "--images", 64, "--layout-steps", 1, "--seed", 1)
    # The cache has scenes of the other seed.
    with pytest.raises((CheckpointError, ValueError), match="seed 1, was 0|this codec, world and seed"):
        train.main()
    shutil.copytree(WEIGHTS, tmp_path / "one" / "weights")
    shutil.copytree(WEIGHTS, tmp_path / "other" / "weights")
    shutil.copy(WEIGHTS / TEXT, tmp_path / "other" / "weights" / UNET)
    own, before = (origin(Workspace(tmp_path / name), UNET, TEXT) for name in ("other", "one"))
    assert own.differences(before, 0) == ["another unet"]


def tiny_stage(plan, entries, sitting, device):
    """Stands for a long stage."""
    layer = nn.Linear(2, 1)
    stage = stage_of("tiny", layer, lambda step: layer(torch.ones(1, 2)).square().mean(), {}, plan)
    return run(stage, plan.config(), plan.folder / f"{stage.name}.pt", sitting, lambda step: None, lambda line: None)


def test_a_long_stage_goes_on_for_its_minutes_and_is_finished_each_time(tmp_path):
    def steps(name):
        return load(tmp_path / f"{name}.pt", CPU)["step"]

    def go_on(minutes, wanted=8):
        train.go_on_and_finish("tiny", tiny_stage, (1, 0.01), 64, wanted, Workspace(tmp_path, minutes=minutes))

    go_on(0.0005)
    first, finish = steps("tiny"), steps("tiny-finish")
    assert finish == max(1, first // 2)
    go_on(0.0005)
    assert steps("tiny") > first and steps("tiny-finish") == max(1, (steps("tiny") - first) // 2)


def test_a_third_of_the_steps_of_a_long_stage_finish_it(tmp_path):
    for _ in range(2):
        train.go_on_and_finish("tiny", tiny_stage, (1, 0.01), 64, 8, Workspace(tmp_path))
        assert [load(tmp_path / f"{name}.pt", CPU)["step"] for name in ("tiny", "tiny-finish")] == [6, 2]

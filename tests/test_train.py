"""The command line of the training: arguments go over the file."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def train(monkeypatch):
    # For this test alone: the root's nodes/ would shadow the host's.
    monkeypatch.syspath_prepend(ROOT)
    spec = importlib.util.spec_from_file_location("train", ROOT / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_arguments_override_the_file_and_leave_the_rest(train):
    file = {"stage": "image", "data": "a", "loop": {"steps": 5, "clip": 2.0}}
    options = train.parse(["some.toml", "--data", "b", "--steps", "7", "--learning-rate", "1e-3", "--seed", "4"])
    assert train.given(options, file) == {
        "stage": "image", "data": "b", "loop": {"steps": 7, "clip": 2.0, "learning_rate": 1e-3},
        "training": {"seed": 4}}
    assert file["loop"]["steps"] == 5
    assert train.given(train.parse(["some.toml"]), file) == file


def test_a_table_that_is_none_stays_for_the_plan_to_name(train):
    assert train.given(train.parse(["some.toml", "--steps", "7"]), {"loop": 3}) == {"loop": 3}


def test_every_argument_is_one_that_a_plan_knows(train):
    from animatelcm.training.options import plan

    words = {"stage": "adapt", "preset": "tiny", "data": "clips", "lora": "lora.safetensors",
             "method": "paper"}
    names = {name: words.get(name, "some") for name in train.ARGUMENTS}
    numbers = dict.fromkeys(train.NUMBERS, 8)
    arguments = [part for name, value in (names | numbers).items()
                 for part in (f"--{name.replace('_', '-')}", str(value))]
    planned = plan(train.given(train.parse(arguments), {}))
    assert planned.options.name == "some" and planned.config.loop.accumulation == planned.config.height == 8


@pytest.mark.parametrize("cpu", [True, False])
def test_the_processes_compute_where_the_host_does_and_wait_while_one_encodes(train, monkeypatch, tmp_path, cpu):
    """Also on a device of another maker, which `torch.cuda` knows nothing of; and longer than torch's minutes."""
    # Before accelerate is another: the host's packages look for it.
    from animatelcm.host.training import headless  # noqa: F401
    from animatelcm.training.options import plan
    from comfy.cli_args import args

    def accelerator(**how):
        assert how["cpu"] is cpu
        [group] = how["kwargs_handlers"]
        assert group.timeout >= timedelta(days=1)
        raise LookupError("far enough")

    monkeypatch.setitem(sys.modules, "accelerate", SimpleNamespace(Accelerator=accelerator))
    monkeypatch.setitem(sys.modules, "accelerate.utils", SimpleNamespace(InitProcessGroupKwargs=SimpleNamespace))
    monkeypatch.setattr(args, "cpu", cpu)
    with pytest.raises(LookupError, match="far enough"):
        train.run(plan({"stage": "image", "data": str(tmp_path)}), log=False)


class Accelerator:
    """What the loop asks of accelerate, for one process."""

    process_index, num_processes, is_main_process, device = 0, 1, True, "cpu"

    def __init__(self):
        self.said = []

    def log(self, figures, step):
        pass

    def print(self, text, flush=False):
        self.said.append(text)


def test_a_finished_run_says_so_and_another_one_of_its_name_is_refused(train, tmp_path):
    from animatelcm.tests.training import toys
    from animatelcm.training.checkpoints import CheckpointError
    from animatelcm.training.config import LoopConfig
    from animatelcm.training.decisions import Together
    from animatelcm.training.options import plan
    from animatelcm.training.stages import motion_stage

    setting = toys.setting("motion", loop=LoopConfig(steps=2, learning_rate=1e-2))
    config = setting.config
    asked = plan({"stage": "motion", "data": "clips", "preset": "tiny", "output": str(tmp_path), "name": "cats.v1"})
    first, again = Accelerator(), Accelerator()
    assert len(train.run_loop(motion_stage(setting), config, asked, first, Together())) == len(first.said) == 2
    assert train.run_loop(motion_stage(toys.setting("motion")), config, asked, again, Together()) == []
    assert again.said[0].startswith("all 2 steps are done already; nothing was trained")
    assert [path.name for path in tmp_path.iterdir()] == ["cats.v1.pt"]
    other = replace(config, loop=replace(config.loop, learning_rate=2e-2))
    with pytest.raises(CheckpointError, match="cats.v1.pt belongs to another training: learning_rate 0.02, was 0.01"):
        train.run_loop(motion_stage(toys.setting("motion")), other, asked, again, Together())

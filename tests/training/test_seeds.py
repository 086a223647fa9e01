"""What is drawn from a seed leaves no trace in the random numbers of others, on any device."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from animatelcm.demo import model as demo_model
from animatelcm.host.training import runs
from animatelcm.tests.support import loaded_motion
from animatelcm.tests.training import toys
from animatelcm.training.clips import ClipSettings, augment
from animatelcm.training.lora import inject
from animatelcm.training.seeds import seeded
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("demo", "host", "keyframes", "motion", "nodes", "samplers", "training")


@pytest.fixture
def reseeded(monkeypatch):
    """Which devices' generators are seeded for the whole process during a test."""
    seen = []
    for module, name in ((torch.cuda, "manual_seed_all"), (torch.cuda, "manual_seed"), (torch.xpu, "manual_seed_all"),
                         (torch.mps, "manual_seed")):
        monkeypatch.setattr(module, name, lambda seed, to=module.__name__: seen.append(to))
    torch.manual_seed(5)
    assert "torch.cuda" in seen, "so it would be noticed"
    seen.clear()
    return seen


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    return loaded_motion(tmp_path_factory.mktemp("motion"))


def draw(what, motion):
    if what == "crop":
        return augment(torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(1)),
                       ClipSettings(height=16, width=16, flip=0.5, colour=0.2), seed=3)
    if what == "LoRA":
        return torch.cat([layer.down.weight.flatten() for layer in inject(toys.Model(), toys.NAMES, toys.LORA,
                                                                          seed=3).values()])
    if what == "encoder":
        return runs._new_encoder(motion, 3, torch.device("cpu")).state_dict()["conv_in.weight"]
    return next(demo_model.new_unet(3).parameters())


@pytest.mark.parametrize("what", ["crop", "LoRA", "encoder", "UNet"])
def test_a_seed_decides_and_reaches_nobody_else(what, motion, reseeded):
    before = torch.get_rng_state()
    first = draw(what, motion)
    torch.rand(3)
    again = draw(what, motion)
    assert torch.equal(first, again)
    torch.set_rng_state(before)
    torch.rand(3)
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    draw(what, motion)
    torch.rand(3)
    assert torch.equal(torch.get_rng_state(), after)
    assert reseeded == []


def test_it_gives_what_torchs_own_seed_gives():
    with seeded(7):
        drawn = nn.Linear(3, 4).weight
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        assert torch.equal(nn.Linear(3, 4).weight, drawn)


def test_a_lora_is_drawn_on_the_cpu_and_lies_where_its_layer_does():
    layers = {}
    for device in ("cpu", "meta"):
        model = toys.Model().to(device)
        layers[device] = inject(model, toys.NAMES, toys.LORA, seed=3)
        assert {p.device.type for layer in layers[device].values() for p in layer.parameters()} == {device}


@pytest.mark.parametrize("package", SHIPPED)
def test_no_package_seeds_the_whole_process(package):
    """`torch.manual_seed` sets the generators of all devices; `seeded`, or a generator, does not."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                assert called not in ("torch.manual_seed", "torch.random.manual_seed", "torch.seed", "random.seed",
                                      "torch.cuda.manual_seed", "torch.cuda.manual_seed_all"), f"{path}: {called}"

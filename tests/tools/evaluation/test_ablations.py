"""The ablations' trainings: what each starts from, and that a run goes on from mark to mark."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from animatelcm.demo.files import LORA, WEIGHTS
from animatelcm.host.training import runs
from animatelcm.tools.demo.latent_cache import BLOCK, Cache, Source
from animatelcm.tools.evaluation import ablations
from animatelcm.tools.evaluation.ablations import Variant, decoupling, initialisations, train, train_lora
from animatelcm.tools.evaluation.trainings import Embedded
from safetensors.torch import load_file


@pytest.fixture(scope="module", autouse=True)
def drawn():
    """Latents that nobody drew, in place of the world's."""
    with pytest.MonkeyPatch.context() as patched:
        for name, clips in (("frames_of_scenes", False), ("clips_of_scenes", True)):
            source = Source(name, BLOCK, clips)
            latents = torch.randn(source.shape, generator=torch.Generator().manual_seed(0)).half()
            patched.setattr(Embedded, name, Cache(source, latents))
        yield


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Two frames, or two images, in a step, and no warm-up."""
    monkeypatch.setattr(ablations, "WARMUP", 0)
    monkeypatch.setattr(ablations, "settings", lambda *args, settings=ablations.settings: replace(
        config := settings(*args), batch=min(config.batch, 2), num_frames=min(config.num_frames, 2)))


@pytest.fixture(scope="module")
def lora(drawn, tmp_path_factory):
    """A spatial LoRA of one step, in place of the embedded one, in a folder as that is in."""
    models = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ablations, "WARMUP", 0)
        train_lora(1, path := models / "any.safetensors")
    (models / LORA).parent.mkdir()
    return path.rename(models / LORA)


def test_they_begin_with_the_embedded_model_and_write_elsewhere(tmp_path):
    workspace = Embedded(tmp_path)
    assert workspace.weights == WEIGHTS and workspace.folder == tmp_path


def test_one_run_trains_in_two_stages_and_the_other_in_one(tmp_path, monkeypatch):
    apart, direct = methods = decoupling(tmp_path, 2)
    for method in methods:
        method.train()
    assert [method.steps for method in methods] == [(4,), (4,)]
    assert [path.name for path in apart.parts.files] == ["decoupled-1.safetensors", "decoupled-1-lora.safetensors"]
    assert [path.name for path in direct.parts.files] == ["direct-2.safetensors", "direct-2-lora.safetensors"]
    for parts in (apart.parts, direct.parts):
        trained = load_file(parts.loras[0])
        assert any(tensor.any() for key, tensor in trained.items() if key.endswith("lora_up.weight"))
    # What is there already is not trained again.
    monkeypatch.delattr(runs, "make_setting")
    for method in decoupling(tmp_path, 2):
        method.train()


def test_a_run_from_mark_to_mark_is_one_that_never_stopped(tmp_path, lora):
    variant = Variant("init-both", "both")
    for name, marks in (("stopped", (1, 2)), ("whole", (2,))):
        for mark in marks:
            train(variant, mark, 2, tmp_path / name, lora)
    one, other = (load_file(tmp_path / name / "init-both-2.safetensors") for name in ("stopped", "whole"))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_fewer_steps_are_not_those_of_a_longer_run(tmp_path, lora):
    variant = Variant("init-none", "none")
    for name, steps in (("one", 2), ("one", 1), ("other", 1)):
        train(variant, steps, steps, tmp_path / name, lora)
    one, other = (load_file(tmp_path / name / "init-none-1.safetensors") for name in ("one", "other"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_every_initialisation_has_its_own_curve(tmp_path, lora, monkeypatch):
    monkeypatch.setattr(ablations, "MODELS", lora.parents[1])
    curves = initialisations(tmp_path, (1,))
    assert list(curves) == ["init student", "init both", "init none"]
    for [(_, method)] in curves.values():
        assert method.parts.loras == (lora,)
        method.train()
    files = [load_file(points[0][1].parts.motion) for points in curves.values()]
    assert not any(all(torch.equal(files[0][key], other[key]) for key in files[0]) for other in files[1:])

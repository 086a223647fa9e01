"""The evidence of the tables: kept while nothing changes that it depends on, and never torn or mixed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from animatelcm.storage import atomic
from animatelcm.storage.locks import HeldError
from animatelcm.tools.demo.sampler import Parts
from animatelcm.tools.evaluation import ablations, runner
from animatelcm.tools.evaluation.methods import ours
from animatelcm.tools.evaluation.records import continued
from animatelcm.tools.evaluation.runner import ROOT, Runner, digest, evidence


def keys():
    """Return the names of a method's record, of the world's, and of the folder of the trained ablations."""
    return digest(ours()), evidence("world", [], *runner.MEASURED), evidence(ablations.recipes(), [], *ablations.CODE)


def in_a_copy(monkeypatch, folder, name, change):
    """Let the code lie in a folder, where one file is changed."""
    for package in (*runner.PACKAGES, "tools/evaluation"):
        shutil.copytree(ROOT / package, folder / package, ignore=lambda path, names: [
            name for name in names if "." in name and not name.endswith(".py")])
    file = folder / name
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    monkeypatch.setattr(runner, "ROOT", folder)


@pytest.mark.parametrize("name", ["training/losses.py", "samplers/lcm.py", "motion/module.py",
                                  "host/training/network.py", "demo/scenes.py", "tools/evaluation/measure.py"])
def test_a_byte_of_the_code_makes_figures_stale(monkeypatch, tmp_path, name):
    before = keys()
    in_a_copy(monkeypatch, tmp_path, name, lambda source: f"{source}0\n")
    *records, trained = keys()
    assert not set(records) & set(before)
    # How clips are measured does not matter to what is trained.
    assert (trained == before[-1]) == (name == "tools/evaluation/measure.py")


def test_a_comment_makes_none_stale(monkeypatch, tmp_path):
    before = keys()
    in_a_copy(monkeypatch, tmp_path, "training/losses.py", lambda source: f"# Said otherwise.\n{source}\n\n")
    assert keys() == before


@pytest.mark.parametrize("module, name", [(torch, "__version__"), (runner.comfyui_version, "__version__")])
def test_what_computes_makes_them_stale(monkeypatch, module, name):
    before = keys()
    monkeypatch.setattr(module, name, "0.0.1")
    assert not set(keys()) & set(before)


def test_figures_outlive_the_files_that_a_section_trained(tmp_path, monkeypatch):
    """Another machine would train others, which differ in their last bits."""
    asked = []

    def method(folder, recipe="one"):
        return replace(ours(Parts(folder / f"{recipe}.safetensors")), trained_in=folder,
                       train=lambda: asked.append(folder))

    monkeypatch.setattr(runner, "DemoSampler", lambda parts: parts)
    monkeypatch.setattr(runner, "sampled", lambda *args: torch.rand(16, 3, 128, 128))
    monkeypatch.setattr(Runner, "_through_codec", lambda *args: [])
    folder, elsewhere = tmp_path / "trained" / "by", tmp_path / "elsewhere" / "by"
    first = Runner(tmp_path)(method(folder), 4, 1.0, 0, 1)
    assert asked == [folder]
    assert Runner(tmp_path)(method(elsewhere), 4, 1.0, 0, 1).clips == first.clips and asked == [folder]
    for other in (method(elsewhere, "other"), method(tmp_path / "trained" / "by other code")):
        assert Runner(tmp_path)(other, 4, 1.0, 0, 1).clips != first.clips
    assert len(asked) == 3


def test_a_record_has_one_writer(tmp_path):
    """A line's place is its clip's number: two writers would give clips the figures of others."""
    record = tmp_path / "new" / "a.jsonl"

    def measure(number):
        if number == 1:
            with pytest.raises(HeldError, match="a.jsonl is in use by another run"):
                continued(record, 3, lambda number: {"other": number})
        return {"number": number}

    assert continued(record, 2, measure) == [{"number": 0}, {"number": 1}]
    assert continued(record, 3, lambda number: {"number": number})[-1] == {"number": 2}
    assert [path.name for path in record.parent.iterdir()] == ["a.jsonl"]


def test_a_line_that_was_cut_short_goes_without_risking_the_others(tmp_path, monkeypatch):
    record = tmp_path / "a.jsonl"
    whole = "".join(json.dumps({"number": number}) + "\n" for number in range(3))
    record.write_text(whole + '{"num', encoding="utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(atomic.os, "replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            continued(record, 4, lambda number: {"number": number})
    assert record.read_text(encoding="utf-8").startswith(whole)
    assert continued(record, 4, lambda number: {"number": number})[2:] == [{"number": 2}, {"number": 3}]
    assert len(record.read_text(encoding="utf-8").splitlines()) == 4

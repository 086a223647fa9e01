"""Fingerprints: equal where what counts is equal, and another one for every change that counts."""

import re

import pytest
import torch
from animatelcm.training import fingerprint
from animatelcm.training.config import PRESETS
from animatelcm.training.fingerprint import METHOD, ROOT, of_code, of_files, of_tensors, settings, statements

SOURCE = '''"""What it is for."""

RATE = 2
"""Of the optimiser."""


def loss(x):
    """Return the loss."""
    text = """kept
    # no comment"""
    return x * RATE, text
'''
SAME = '''# Another word on it.
RATE = 2
"""The optimiser's."""
def loss(x):
    """Return the
    loss, é, of it."""  # noqa

    text = """kept
    # no comment"""
    # Why so.
    return x * RATE, text  # so
'''


def test_code_is_the_same_whatever_is_said_of_it():
    assert statements(SOURCE) == statements(SAME)
    assert "# no comment" in statements(SOURCE) and "optimiser" not in statements(SOURCE)


@pytest.mark.parametrize("old, new", [("= 2", "= 3"), ("x * RATE", "x + RATE"), ("kept", "Kept"),
                                      ("loss(x)", "loss(y)"), ("    return x", "return x")])
def test_every_other_byte_of_code_counts(tmp_path, old, new):
    assert SOURCE.count(old) == 1 and statements(SOURCE.replace(old, new)) != statements(SOURCE)
    for name, text in (("one", SOURCE), ("two", SOURCE.replace(old, new)), ("three", SAME)):
        (tmp_path / name / "room").mkdir(parents=True)
        (tmp_path / name / "room" / "loss.py").write_text(text, encoding="utf-8")
    one, two, three = (of_code("room", root=tmp_path / name) for name in ("one", "two", "three"))
    assert one == three != two


def test_files_that_come_or_go_count_and_one_that_is_missing_is_no_silence(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "room").mkdir(parents=True)
        (tmp_path / name / "room" / "loss.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "two" / "room" / "more.py").write_text("", encoding="utf-8")
    assert of_code("room", root=tmp_path / "one") != of_code("room", root=tmp_path / "two")
    for place in ("nothing", "nothing.py"):
        with pytest.raises(FileNotFoundError, match="nothing"):
            of_code(place, root=tmp_path)


APART = {"__init__", "cache", "checkpoints", "clips", "config", "data", "decisions", "fingerprint", "finite", "memory",
         "methods", "options", "origin", "sampling", "values"}
"""Modules of the training that a checkpoint's version of the method leaves out: those that read the data, whose content
and code count by themselves; settings, which count by their values; and what changes no weight."""


def test_every_module_of_the_training_is_part_of_the_method_or_said_not_to_be():
    listed = {name.split("/")[1].removesuffix(".py") for name in METHOD if name.startswith("training/")}
    assert listed | APART == {path.stem for path in (ROOT / "training").glob("*.py")} and not listed & APART
    assert of_code(*METHOD)


READS = {"motion/errors.py", "motion/files.py", "motion/trained.py"}
"""What the method's code takes from the rooms of the networks that decides no weight: weights count by themselves."""


def test_the_code_of_networks_and_samplers_that_the_method_uses_is_part_of_it():
    files = {file for place in METHOD for file in (
        [ROOT / place] if place.endswith(".py") else (ROOT / place).glob("*.py"))}
    used = {"/".join(found) + ".py" for file in files
            for found in re.findall(r"^from \.+(samplers|motion)\.(\w+) import", file.read_text("utf-8"), re.MULTILINE)}
    assert {"samplers/schedules.py", "motion/module.py"} < used
    assert used - {file.relative_to(ROOT).as_posix() for file in files} == READS


def test_tensors_are_what_they_hold():
    one = {"a": torch.randn(3, 4).half(), "b": torch.arange(4)}
    assert of_tensors(one) == of_tensors({"b": torch.arange(4), "a": one["a"].float()})
    assert of_tensors({"a": one["a"].t().contiguous().t(), "b": one["b"]}) == of_tensors(one)
    with torch.inference_mode():
        assert of_tensors({"a": one["a"].clone(), "b": one["b"]}) == of_tensors(one)
    changed = one["a"].clone()
    changed[2, 3] += 1e-2
    a, b = one["a"], one["b"]
    others = ({"a": changed, "b": b}, {"a": a.view(4, 3), "b": b}, {"c": a, "b": b}, {"a0": a, "b0": b}, {"a": a},
              {"a": a, "b": b.int()}, {}, {"a": torch.zeros(0), "b": torch.zeros(())})
    assert len({of_tensors(one), *map(of_tensors, others)}) == len(others) + 1


def test_a_file_counts_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "BLOCK", 4)
    contents = (b"12345678", b"12345679", b"1234", b"123456789", b"")
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    assert len({of_files([tmp_path / str(number)]) for number in range(len(contents))}) == len(contents)


def test_files_are_what_is_in_them(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (of_files([tmp_path / name]) for name in "abc")
    assert a == b != c and of_files([tmp_path / "a", tmp_path / "c"]) != of_files([tmp_path / "c", tmp_path / "a"])


def test_every_setting_of_a_training_has_its_name():
    found = settings(PRESETS["tiny"]["image"])
    assert (found["steps"], found["rank"], found["w_max"], found["seed"]) == (400, 16, 3.0, 0)
    assert all(isinstance(value, str | int | float | bool) for value in found.values())
    assert settings(PRESETS["tiny"]["image"].lora, "lora.") == {"lora.rank": 16, "lora.alpha": 16.0}
    assert fingerprint.digest(1, "a") != fingerprint.digest("1", "a")

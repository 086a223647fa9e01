"""The rows of a batch: tables, checks, names, and by what a row is known again."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from animatelcm.client.batches.checks import changed, objections
from animatelcm.client.batches.jobs import Job, Recipe, make_jobs
from animatelcm.client.batches.rows import Row, make_rows, read_lines, read_rows
from animatelcm.client.workflow import WorkflowError, set_value

NODES = {"KSampler": {"input": {"required": {
             "seed": ["INT", {"min": 0, "max": 1000}], "cfg": ["FLOAT", {"min": 0.0, "max": 100.0}],
             "sampler": [["lcm", "euler"], {}], "tile": ["BOOLEAN", {}], "positive": ["CONDITIONING"]}}},
         "Text": {"input": {"required": {"text": ["STRING", {}]}}},
         "Load": {"input": {"required": {"image": [["a.png"], {"image_upload": True}]}}},
         "Number": {"input": {"required": {"value": ["INT", {"min": -1000}]}}},
         "Save": {"input": {"required": {"codec": ["COMFY_DYNAMICCOMBO_V3", {"options": [
             {"key": "auto", "inputs": {"required": {}}},
             {"key": "h264", "inputs": {"required": {"crf": ["FLOAT", {"min": 0, "max": 51}]}}}]}]}}}}
PROMPT = {"1": {"class_type": "KSampler", "inputs": {"seed": 1, "cfg": 1.0, "sampler": "lcm", "tile": False,
                                                      "positive": ["2", 0]}},
          "2": {"class_type": "Text", "inputs": {"text": "a cat"}},
          "3": {"class_type": "Load", "inputs": {"image": "a.png"}},
          "4": {"class_type": "Save", "inputs": {"codec": "h264", "codec.crf": 20}}}


@pytest.mark.parametrize(("text", "expected"), [
    ("prompt,seed\na cat,5\n\n\"a cat, a dog\",\n", [{"prompt": "a cat", "seed": 5}, {"prompt": "a cat, a dog"}]),
    ("\ufeffprompt;KSampler.cfg\r\na cat;1.5\r\n", [{"prompt": "a cat", "KSampler.cfg": 1.5}]),
    ("prompt\tname\n3\t007\n", [{"prompt": "3", "name": "007"}]),
    ("prompt,seed\n\"two\nlines\",5\n", [{"prompt": "two\nlines", "seed": 5}]),
    # As spreadsheets write it: columns that were emptied, true in capitals.
    ("prompt,KSampler.tile,,\r\na cat,TRUE,,\r\n,,,\r\na dog,FALSE,,\r\n", [
        {"prompt": "a cat", "KSampler.tile": True}, {"prompt": "a dog", "KSampler.tile": False}]),
    # Only \n and \r end a line, not what Unicode has for that, too; and NaN is no JSON.
    ("prompt,1.x\na\u2028cat\x0bor\x85dog,NaN\n", [{"prompt": "a\u2028cat\x0bor\x85dog", "1.x": "NaN"}]),
])
def test_tables_with_commas_semicolons_and_tabs(tmp_path: Path, text: str, expected: list[Any]) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode())
    assert [row.values for row in read_rows(path)] == expected


def test_lines_of_prompts(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("a\u2028cat\x0cor\x85dog\r\n\r\na bird".encode())
    assert read_lines(path) == ["a\u2028cat\x0cor\x85dog", "a bird"]


def test_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a\u2028cat", "seed": 5}\n\n{"prompt": null, "KSampler.cfg": 1.5}\n', encoding="utf-8")
    assert [(row.place, row.values) for row in read_rows(path)] == [
        ("rows.jsonl, line 1", {"prompt": "a\u2028cat", "seed": 5}), ("rows.jsonl, line 3", {"KSampler.cfg": 1.5})]


@pytest.mark.parametrize(("name", "text", "message"), [
    ("rows.csv", "", "has no rows|expected a first line"), ("rows.csv", "prompt\n", "has no rows"),
    ("rows.csv", "prompt,prompt\na,b\n", "names each column once"), ("rows.csv", ",prompt\na,b\n", "each column once"),
    ("rows.csv", "prompt,\na,b\n", "line 2: 2 cells under 1 columns"),
    ("rows.csv", "prompt,seed\na,b,c\n", "line 2: 3 cells under 2 columns"),
    ("rows.csv", "promt\na\n", "the column 'promt' is none"), ("rows.csv", 'prompt\n"a\n', "line 2"),
    ("rows.jsonl", "[1]\n", r"line 1: expected a JSON object, got '\[1\]'"), ("rows.jsonl", "{", "line 1"),
    ("rows.txt", "a", "no table of rows"), ("rows.csv", b"prompt\n\xff\n", "not text in UTF-8"),
])
def test_broken_tables_are_refused_by_line(tmp_path: Path, name: str, text: Any, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(WorkflowError, match=message):
        read_rows(path)


@pytest.mark.parametrize(("node", "name", "value", "trouble"), [
    ("1", "seed", -1, "seed of node 1 .* is -1, expected 0 to 1000"), ("1", "seed", 1001, "expected 0 to 1000"),
    ("1", "seed", 1.5, "expected a whole number"), ("1", "seed", "x", "expected a whole number"),
    ("1", "seed", True, "expected a whole number"), ("1", "cfg", "x", "expected a number"), ("1", "cfg", 2, None),
    ("1", "sampler", "ddim", "expected one of lcm, euler"), ("1", "sampler", "euler", None),
    ("1", "tile", 1, "expected true or false"), ("2", "text", [1], "expected a text"), ("2", "text", 3, None),
    ("3", "image", "b.png", "expected one of a.png"), ("3", "image", "sub/b.png", None),
    ("3", "image", "b.png [output]", None), ("4", "codec", "av1", "expected one of auto, h264"),
    ("4", "codec.crf", 60, "expected 0 to 51"), ("4", "codec.crf", 23, None),
])
def test_values_that_the_server_would_refuse(node: str, name: str, value: Any, trouble: str | None) -> None:
    prompt = copy.deepcopy(PROMPT)
    prompt[node]["inputs"][name] = value
    found = objections(prompt, changed(prompt, PROMPT), NODES)
    if trouble is None:
        assert found == []
    else:
        assert len(found) == 1
        with pytest.raises(WorkflowError, match=trouble):
            raise WorkflowError(found[0])


def test_settings_are_read_like_cells() -> None:
    """NaN is no JSON, and so a text, which the check finds."""
    prompt = copy.deepcopy(PROMPT)
    set_value(prompt, "KSampler.cfg=NaN")
    [found] = objections(prompt, changed(prompt, PROMPT), NODES)
    assert "is 'NaN', expected a number" in found


def test_a_seed_in_a_node_of_its_own_has_to_fit_where_it_leads() -> None:
    original = copy.deepcopy(PROMPT) | {"9": {"class_type": "Number", "inputs": {"value": 1}}}
    original["1"]["inputs"]["seed"] = ["9", 0]
    prompt = copy.deepcopy(original)
    prompt["9"]["inputs"]["value"] = -1
    [found] = objections(prompt, changed(prompt, original), NODES)
    assert "seed of node 1 (KSampler) is -1" in found


def jobs_of(folder: Path, *rows: dict[str, Any], **recipe: Any) -> list[Job]:
    (folder / "workflow.json").write_text(json.dumps(PROMPT), encoding="utf-8")
    made = [Row(f"row {number}", values) for number, values in enumerate(rows, 1)]
    return make_jobs(made, Recipe(recipe.pop("workflow", folder / "workflow.json"), folder, **recipe), NODES)


def test_names_come_from_row_and_seed(tmp_path: Path) -> None:
    # The letters of the last are written in two parts, as some systems do.
    rows = ({"prompt": "A cat, größer/than: life", "seed": 5}, {"name": "best"}, {}, {"name": "gro\u0308ßer"})
    assert [job.name for job in jobs_of(tmp_path, *rows)] == [
        "0001-a-cat-größer-than-life-seed-5", "0002-best-seed-1", "0003-seed-1", "0004-größer-seed-1"]


def test_a_long_name_fits_a_disk_in_every_writing(tmp_path: Path) -> None:
    for letter in "a猫𝓪":
        [made] = jobs_of(tmp_path, {"prompt": letter * 300, "seed": 5})
        (tmp_path / f"{made.name}-12-12.webm").touch()
        assert made.name.startswith(f"0001-{letter * 20}")


def test_seeds_that_a_spreadsheet_has_given_a_point(tmp_path: Path) -> None:
    [whole, exact] = jobs_of(tmp_path, {"seed": 5.0}, {"seed": 5})
    assert (whole.seed, whole.prompt, type(whole.seed)) == (5, exact.prompt, int)
    for seed in (5.5, True, 2.0**60, "x"):
        with pytest.raises(WorkflowError, match="row 1: seed is .*, expected a whole number"):
            jobs_of(tmp_path, {"seed": seed})


def test_rows_share_what_they_do_not_change(tmp_path: Path) -> None:
    """A copy of the workflow for each of a million rows is more than a machine has."""
    one, two = jobs_of(tmp_path, {"seed": 5}, {"seed": 6})
    assert (one.prompt["1"]["inputs"]["seed"], two.prompt["1"]["inputs"]["seed"]) == (5, 6)
    assert all(one.prompt[name] is two.prompt[name] for name in "234")
    [whole] = jobs_of(tmp_path, {"1.cfg": 1})
    assert type(whole.prompt["1"]["inputs"]["cfg"]) is int


def test_rows_are_known_by_what_runs(tmp_path: Path) -> None:
    one, same, other, named = jobs_of(tmp_path, {"seed": 5}, {"seed": 5}, {"seed": 6}, {"seed": 7, "name": "x"})
    assert len({one.key, same.key, other.key, named.key}) == 4
    # The same row again is another one, and known again as such in whatever order the others are.
    assert [job.key for job in jobs_of(tmp_path, {"seed": 6}, {"seed": 5}, {"seed": 7}, {"seed": 5})] == [
        other.key, one.key, named.key, same.key]
    [changed_row] = jobs_of(tmp_path, {"seed": 5}, settings=("KSampler.cfg=2",))
    assert changed_row.key != one.key


def test_rows_may_have_workflows_of_their_own(tmp_path: Path) -> None:
    [found] = jobs_of(tmp_path, {"workflow": "workflow.json", "seed": 5}, workflow=None)
    assert found.seed == 5
    with pytest.raises(WorkflowError, match=r"row 2: it names no workflow"):
        jobs_of(tmp_path, {"workflow": "workflow.json"}, {"seed": 5}, workflow=None)


def test_prompts_and_seeds_make_rows() -> None:
    assert [row.values for row in make_rows(["a", "b"], [1, 2])] == [
        {"prompt": "a", "seed": 1}, {"prompt": "a", "seed": 2}, {"prompt": "b", "seed": 1}, {"prompt": "b", "seed": 2}]
    assert [row.values for row in make_rows([], [])] == [{}]

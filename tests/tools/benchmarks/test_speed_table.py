"""The rows of the speed table, on the smallest networks."""

from __future__ import annotations

import subprocess
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from animatelcm.host.motion import apply_motion
from animatelcm.tests import support
from animatelcm.tools.benchmarks import bench, kernels, peer, rows, speed_table, whole_run
from torch.nn.attention import SDPBackend

SMALL = speed_table.Size(pixels=64, precision="fp32", channels=32, frames=(2,), runs=1)


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of the rows that were printed, the headings' included."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
            if line.startswith("| ")]


def test_steps_are_measured_for_each_network_and_cfg(capsys):
    assert speed_table.steps(SMALL)
    header, *found = table_rows(capsys.readouterr().out)
    assert header == list(rows.STEP_COLUMNS)
    assert [row[:3] for row in found] == [[name, "2", cfg] for cfg in ("1", "1.5") for name in ("plain", "module")]
    for row in found:
        seconds, ratio, counted, over, peak = map(float, row[3:])
        assert seconds > 0 and over == pytest.approx(ratio / counted, rel=1e-2)
        assert (counted > 1) == (row[0] == "module")
    peaks = [float(row[-1]) for row in found]
    assert peaks[1] > peaks[0] and peaks[3] > peaks[2]


def test_a_row_that_cannot_be_measured_leaves_the_next_ones(capsys, monkeypatch):
    def full(model, plain, cfg, *rest):
        if cfg == 1.0:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")
        return 1.0, 1.0

    monkeypatch.setattr(speed_table, "step_cells", full)
    monkeypatch.setattr(speed_table, "peak_gib", lambda *which: 1.0)
    monkeypatch.setattr(rows.CountedRatios, "of", lambda self, frames: 1.2)
    assert not speed_table.steps(SMALL)
    found = table_rows(capsys.readouterr().out)[1:]
    assert [row[3] for row in found] == ["failed: OutOfMemoryError: CUDA out of memory."] * 2 + ["1"] * 2


def test_the_peak_holds_the_weights_of_all_networks(tmp_path, monkeypatch):
    model, motion = support.tiny_model(), support.loaded_motion(tmp_path)
    monkeypatch.setattr(rows, "tensor_peak", lambda run: rows.GIB)
    plain, moving = (rows.peak_gib(each, 1.0, 2, 64) for each in (model, apply_motion(model, motion, 1.0, None)))
    assert plain == 1 + model.model_size() / rows.GIB
    assert motion.patcher.model_size() > 0
    assert moving - plain == pytest.approx(motion.patcher.model_size() / rows.GIB)


def test_compiled_rows_say_whether_it_is_one_graph(capsys, monkeypatch):
    """With a stand-in for the compiler, which takes minutes; tests/host/test_compiled.py has torch's own."""
    from comfy_extras import nodes_torch_compile

    asked = []

    def compile_model(model, backend):
        asked.append(backend)
        torch._dynamo.utils.counters["stats"]["unique_graphs"] += 2
        torch._dynamo.utils.counters["graph_break"]["a print"] += 3
        return Namespace(result=(model.clone(),))

    monkeypatch.setattr(nodes_torch_compile.TorchCompileModel, "execute", compile_model)
    assert speed_table.compiled(SMALL)
    header, *found = table_rows(capsys.readouterr().out)
    assert [row[0] for row in found] == ["module, compiled"] * 2 + ["plain, compiled"] * 2
    assert [dict(zip(header, row, strict=True))["breaks"] for row in found] == ["3"] * 4
    assert found[0][-2:] == ["2", "3"] and asked == ["inductor"] * 4


def test_a_kernel_that_torch_lacks_is_named_and_others_are_timed(capsys):
    kernels.add_kernel_rows(32, (4,), 64, torch.float32, runs=1)
    header, *found = table_rows(capsys.readouterr().out)
    assert [row[:3] for row in found] == [["4", "64", "4"], ["4", "16", "8"], ["4", "4", "16"], ["4", "1", "16"]]
    for row in found:
        cells = dict(zip(header, row, strict=True))
        assert float(cells["math"]) > 0 and float(cells["torch's choice"]) > 0
        if not torch.cuda.is_available():
            assert cells["cuDNN"] == cells["memory-efficient"] == "not available"


def test_an_error_in_a_kernel_is_not_taken_for_a_missing_one():
    wrong = torch.zeros(3, 2, 2, 4, 8).unbind()
    with pytest.raises(RuntimeError):
        kernels.milliseconds(SDPBackend.MATH, (wrong[0], wrong[1][..., :5], wrong[2]), runs=1)


def test_a_whole_run_has_three_stages_whose_shares_are_the_whole(capsys, monkeypatch):
    seconds = iter([[9.0, 9.0, 9.0], [1.0, 2.0, 5.0], [1.0, 4.0, 5.0], [3.0, 2.0, 5.0]])
    monkeypatch.setattr(whole_run, "stage_seconds", lambda *parts: dict(zip("abc", next(seconds), strict=True)))
    whole_run.add_stage_rows(None, None, None, frames=16, pixels=64, runs=3)
    assert table_rows(capsys.readouterr().out)[1:] == [
        ["a", "1", "12.5%"], ["b", "2", "25.0%"], ["c", "5", "62.5%"]]


def test_the_stages_are_the_ones_of_a_graph(tmp_path):
    calls = []

    class Clip:
        def tokenize(self, text):
            return text

        def encode_from_tokens_scheduled(self, text):
            calls.append(text)
            return support.conditioning(len(calls))

    class Vae:
        def decode(self, latent):
            calls.append(tuple(latent.shape))

    model = apply_motion(support.tiny_model(), support.loaded_motion(tmp_path), 1.0, None)
    noted = support.record_calls(model)
    stages = whole_run.stage_seconds(model, Clip(), Vae(), frames=3, pixels=64)
    assert list(stages) == ["text", "sampling, 4 steps", "decoding"] and all(s > 0 for s in stages.values())
    assert calls == [whole_run.PROMPT, "", (3, 4, 8, 8)]
    assert len(noted) == 4


def test_the_other_pack_runs_in_a_process_of_its_own(monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command: commands.append(command) or Namespace(returncode=0))
    assert speed_table.peer(speed_table.Size(peer=tmp_path, frames=(16, 32)))
    command = commands[0]
    assert command[2:7] == ["tools.benchmarks.peer", str(tmp_path), "--frames", "16", "32"]
    assert command[-6:] == ["--pixels", "512", "--precision", "fp16", "--runs", "7"]
    monkeypatch.setattr(subprocess, "run", lambda command: Namespace(returncode=1))
    assert not speed_table.peer(speed_table.Size(peer=tmp_path))


def test_without_another_pack_the_table_says_how_to_name_one(capsys):
    assert speed_table.peer(SMALL)
    assert "--peer PATH" in capsys.readouterr().out


def test_a_folder_that_is_no_pack_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        speed_table.main(["--peer", str(tmp_path)], Namespace(pixels=64, precision="fp32", runs=1))
    assert "has no __init__.py" in capsys.readouterr().err


def test_a_pack_without_the_nodes_is_refused(tmp_path):
    (tmp_path / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n")
    with pytest.raises(SystemExit, match="no node ADE_"):
        peer.load_pack(tmp_path)


def test_the_sections_run_in_order_and_a_missing_row_is_an_exit_status(monkeypatch, capsys):
    ran = []
    sections = {name: lambda size, name=name: ran.append((name, size)) or name != "run"
                for name in speed_table.SECTIONS}
    monkeypatch.setattr(speed_table, "SECTIONS", sections)
    size = Namespace(pixels=128, precision="bf16", runs=3)
    assert speed_table.main(["--frames", "16", "32", "--channels", "64"], size) == 1
    assert [name for name, _ in ran] == ["steps", "kernels", "run", "compiled", "peer"]
    assert {given for _, given in ran} == {speed_table.Size(128, "bf16", 64, (16, 32), 3, None)}
    assert '"sections_with_missing_rows": ["run"]' in capsys.readouterr().out
    assert speed_table.main(["--sections", "kernels"], size) == 0


def test_the_table_is_an_option_of_the_benchmark(monkeypatch):
    given = []
    monkeypatch.setattr(speed_table, "main", lambda words, chosen: given.append((words, chosen.pixels)) or 0)
    monkeypatch.setattr("sys.argv", ["bench", "--table", "--pixels", "96", "--sections", "steps"])
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 0 and given == [(["--sections", "steps"], 96)]


def test_an_unknown_option_of_the_benchmark_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["bench", "--sections", "steps"])
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 2 and "--sections" in capsys.readouterr().err


def test_the_docs_name_every_section():
    page = (Path(speed_table.__file__).parents[2] / "docs" / "speed.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in speed_table.SECTIONS)

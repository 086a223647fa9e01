"""The table's rows: guidance is searched for, intervals are over seeds, and missing files are named."""

from __future__ import annotations

import json
import math

from animatelcm.evaluation.intervals import estimate
from animatelcm.evaluation.measure import Figures
from animatelcm.evaluation.methods import FEW_STEPS, Method, methods
from animatelcm.evaluation.paper_table import SEARCH_SEED, _digest, chosen_cfg, measured
from animatelcm.evaluation.report import COLUMNS, Row, plain, plot, table


def figures(frechet, motion=1.0):
    return Figures(frechet, colour=1.0, shape=0.5, direction=0.25, change=1.5, motion=motion)


def test_guidance_is_chosen_for_every_number_of_steps_on_prompts_of_their_own():
    asked = []

    def run(method, steps, cfg, seed, prompts):
        asked.append((seed, prompts))
        return figures(abs(cfg - steps))

    method = Method("any", "ddim", "normal", cfgs=(1.0, 2.0, 4.0))
    assert [chosen_cfg(method, steps, run, 5) for steps in FEW_STEPS] == [1.0, 2.0, 4.0, 4.0]
    assert set(asked) == {(SEARCH_SEED, 5)}
    asked.clear()
    assert chosen_cfg(Method("any", "lcm", "simple"), 4, run, 5) == 1.0 and not asked


def test_intervals_are_over_seeds():
    method = Method("any", "ddim", "normal")
    [row] = measured([(method, 4, 2.0)], lambda method, steps, cfg, seed, prompts: figures(seed), 3, 8)
    assert row.figures["frechet"] == estimate([0, 1, 2])
    assert row.figures["shape"].mean == 0.5 and row.figures["shape"].half_width == 0


def test_seeds_without_motion_are_left_out_of_its_mean():
    method = Method("any", "ddim", "normal")
    runs = iter([figures(1, math.nan), figures(1, 0.5), figures(1, math.nan)])
    one, none = measured([(method, 1, 1.0), (method, 2, 1.0)],
                         lambda *run: next(runs) if run[1] == 1 else figures(1, math.nan), 3, 8)
    assert one.figures["motion"].mean == 0.5 and math.isnan(none.figures["motion"].mean)


def test_files_of_ours_are_asked_for_by_name(tmp_path):
    ours = methods(tmp_path / "my_motion.safetensors", tmp_path / "my_lora.safetensors")["AnimateLCM"]
    assert ours.missing == ["my_motion.safetensors", "my_lora.safetensors"]
    (tmp_path / "my_lora.safetensors").touch()
    assert ours.missing == ["my_motion.safetensors"]
    assert {path.name for path in methods()["AnimateLCM"].files} == {
        "AnimateLCM_demo_t2v.safetensors", "AnimateLCM_demo_lora.safetensors"}
    assert all(not method.missing for name, method in methods().items() if name != "AnimateLCM")


def test_records_are_told_apart_by_settings_and_weights(tmp_path):
    weights = tmp_path / "motion.safetensors"
    weights.write_bytes(b"one")
    one = _digest(Method("any", "ddim", "normal", motion=weights))
    assert one == _digest(Method("other name", "ddim", "normal", motion=weights))
    assert len({one, _digest(Method("any", "ddim", "simple", motion=weights)), _digest(None)}) == 3
    weights.write_bytes(b"two")
    assert _digest(Method("any", "ddim", "normal", motion=weights)) != one


ROWS = [Row(name, steps, cfg, {column: estimate([0.5, 1.0]) for column in COLUMNS})
        for name, steps, cfg in (("the world", None, None), ("teacher", 25, 3.0), ("DDIM", 1, 2.0), ("DDIM", 8, 2.0))]


def test_the_table_is_markdown_with_a_line_for_each_row():
    lines = table(ROWS).splitlines()
    assert len(lines) == 2 + len(ROWS) and len({line.count("|") for line in lines}) == 1
    assert lines[3].startswith("| teacher | 25 | 3 | 0.75 ± 3.2 |")


def test_rows_are_valid_json_even_from_a_single_seed():
    row = Row("any", 4, 1.0, {"frechet": estimate([2.0]), "motion": estimate([math.nan])})
    written = json.loads(json.dumps(plain(row), allow_nan=False))
    assert written["figures"] == {"frechet": {"mean": 2.0, "half_width": None},
                                  "motion": {"mean": None, "half_width": None}}


def test_the_plot_is_a_picture(tmp_path):
    from PIL import Image

    plot(ROWS, tmp_path / "docs" / "table.png")
    picture = Image.open(tmp_path / "docs" / "table.png")
    assert picture.width > 2 * picture.height and len(picture.convert("RGB").getcolors(100_000)) > 50

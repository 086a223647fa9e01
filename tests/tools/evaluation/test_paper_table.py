"""The report: guidance is searched for, intervals are over seeds, and what a method is shown is what it is given."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from animatelcm.demo import world
from animatelcm.demo.files import FEW_STEP_LAYOUT, I2V_MOTION, LAYOUT, MODELS, PASTEL
from animatelcm.tools.demo import styles
from animatelcm.tools.demo.sampler import DISTILLED, Parts, Settings
from animatelcm.tools.evaluation import runner
from animatelcm.tools.evaluation.claims import against_baselines, against_teacher, seed_by_seed
from animatelcm.tools.evaluation.intervals import Estimate, estimate
from animatelcm.tools.evaluation.measure import Figures, scenes
from animatelcm.tools.evaluation.methods import FOLLOWS, STEP_COUNTS, Method, adapted, compared, ours, personalised
from animatelcm.tools.evaluation.report import TITLES, Row, Section, plain, plot, plot_training
from animatelcm.tools.evaluation.runner import Runner, digest, sampled
from animatelcm.tools.evaluation.sections import SEARCH_SEED, Scope, adapters, chosen_cfg, row


def figures(frechet, motion=1.0):
    return Figures(frechet, colour=1.0, shape=0.5, direction=0.25, background=1.0, change=1.5, motion=motion,
                   layout=0.1, start=0.2)


def test_guidance_is_chosen_for_every_number_of_steps_on_prompts_of_their_own():
    asked = []

    def run(method, steps, cfg, seed, prompts):
        asked.append((seed, prompts))
        return figures(abs(cfg - steps))

    method = Method("any", "ddim", "normal", cfgs=(1.0, 2.0, 4.0))
    assert [chosen_cfg(method, steps, run, 5) for steps in STEP_COUNTS] == [1.0, 2.0, 4.0, 4.0]
    assert set(asked) == {(SEARCH_SEED, 5)}
    asked.clear()
    assert chosen_cfg(Method("any", "lcm", "simple"), 4, run, 5) == 1.0 and not asked


def test_intervals_are_over_seeds():
    scope = Scope(lambda method, steps, cfg, seed, prompts: figures(seed + steps), Parts(), seeds=3, prompts=8,
                search_prompts=4, methods=[], ablation_steps=8, timings=0, docs=Path())
    two, four = scope.rows([Method("any", "ddim", "normal", steps=(2, 4), cfgs=(2.0,))])
    assert (four.steps, four.cfg, four.figures["frechet"]) == (4, 2.0, estimate([4, 5, 6]))
    assert two.figures["shape"].mean == 0.5 and two.figures["shape"].half_width == 0
    assert two.figures["obedience"].mean == pytest.approx((1 + 0.5 + 0.25) / 3)


def test_seeds_without_motion_are_left_out_of_its_mean():
    one = row("any", 1, 1.0, [figures(1, math.nan), figures(1, 0.5), figures(1, math.nan)])
    none = row("any", 2, 1.0, [figures(1, math.nan)] * 3)
    assert one.figures["motion"].mean == 0.5 and math.isnan(none.figures["motion"].mean)


def test_files_of_ours_are_asked_for_by_name(tmp_path):
    method = ours(Parts(tmp_path / "my_motion.safetensors", (tmp_path / "my_lora.safetensors",)))
    assert method.missing == ["my_motion.safetensors", "my_lora.safetensors"]
    (tmp_path / "my_lora.safetensors").touch()
    assert method.missing == ["my_motion.safetensors"]
    known = (*compared(DISTILLED).values(), *personalised(DISTILLED), *adapted(DISTILLED))
    assert not [name for method in known if method.name != "ControlNet, adapted" for name in method.missing]
    assert {method.follows for method in known} == set(FOLLOWS)


def test_a_method_whose_files_are_not_there_is_named_and_left_out(tmp_path):
    scope = Scope(lambda *run: figures(1), Parts(tmp_path / "none.safetensors"), seeds=1, prompts=1, search_prompts=1,
                methods=[], ablation_steps=8, timings=0, docs=tmp_path)
    section = adapters(scope)
    assert "the prompt alone: there is no none.safetensors." in section.text
    assert [one.method for one in section.rows] == ["image to video"]


def test_sections_put_the_right_files_beside_the_distilled_ones():
    teacher, student = personalised(DISTILLED)
    assert teacher.parts == Parts(loras=(MODELS / PASTEL,))
    assert student.parts == Parts(DISTILLED.motion, (*DISTILLED.loras, MODELS / PASTEL))
    prompt, image, before, after = adapted(DISTILLED)
    assert (prompt.parts, image.parts) == (DISTILLED, Parts(MODELS / I2V_MOTION, DISTILLED.loras))
    assert [method.parts.control_net for method in (before, after)] == [MODELS / LAYOUT, MODELS / FEW_STEP_LAYOUT]


def test_records_are_told_apart_by_settings_and_weights(tmp_path):
    weights = tmp_path / "motion.safetensors"
    weights.write_bytes(b"one")
    parts = Parts(motion=weights)
    one = digest(Method("any", "ddim", "normal", parts=parts))
    assert one == digest(Method("other name", "ddim", "normal", parts=parts))
    others = (Method("any", "ddim", "simple", parts=parts), Method("any", "ddim", "normal", parts=parts, pastel=True),
              Method("any", "ddim", "normal", parts=parts, follows="layout"), None)
    assert len({one, *map(digest, others)}) == 5
    weights.write_bytes(b"two")
    assert digest(Method("any", "ddim", "normal", parts=parts)) != one


def test_a_method_is_shown_what_it_follows_and_measured_in_the_worlds_palette():
    scene = world.Scene("red", "star", "up")
    given = []

    def sampler(prompt, seed, settings, hints, reference):
        given.append((prompt, seed, hints, reference))
        return styles.pastel(world.render(scene))

    def clip(**how):
        return sampled(sampler, Method("any", "lcm", "simple", **how), scene, 7, Settings())

    torch.testing.assert_close(clip(pastel=True), world.render(scene))
    clip(follows="layout")
    clip(follows="image")
    alone, layout, image = given
    assert alone == (world.caption(scene), 7, None, None)
    assert layout[2].shape == (world.FRAMES, 3, world.SIZE, world.SIZE) and layout[3] is None
    assert image[2] is None and torch.equal(image[3], world.render(scene)[0])


ROWS = [Row(name, steps, cfg, {figure: estimate([0.5, 1.0]) for figure in TITLES})
        for name, steps, cfg in (("the world", None, None), ("teacher", 25, 3.0), ("DDIM", 1, 2.0), ("DDIM", 8, 2.0))]


def test_a_section_is_markdown_with_a_line_for_each_row():
    title, _, text, _, *lines = Section("Samplers", "Said so.\n", ("shape", "motion"), ROWS).markdown().splitlines()
    assert (title, text) == ("## Samplers", "Said so.")
    assert len(lines) == 2 + len(ROWS) and len({line.count("|") for line in lines}) == 1
    assert lines[3].startswith("| teacher | 25 | 3 | 0.75 ± 3.2 |")


def test_rows_are_valid_json_even_from_a_single_seed():
    one = Row("any", 4, 1.0, {"frechet": estimate([2.0]), "motion": estimate([math.nan])})
    written = json.loads(json.dumps(plain(one), allow_nan=False))
    assert written["figures"] == {"frechet": {"mean": 2.0, "half_width": None},
                                  "motion": {"mean": None, "half_width": None}}


@pytest.mark.parametrize("draw", [lambda path: plot(ROWS, path),
                                  lambda path: plot_training({"one": [(25, ROWS[1]), (50, ROWS[2])]}, path)])
def test_plots_are_pictures(tmp_path, draw):
    from PIL import Image

    draw(tmp_path / "docs" / "table.png")
    picture = Image.open(tmp_path / "docs" / "table.png")
    assert picture.width > 2 * picture.height and len(picture.convert("RGB").getcolors(100_000)) > 50


def found(name, steps, **means):
    return Row(name, steps, 1.0, {figure: Estimate(means.get(figure, 1.0), 0.1) for figure in TITLES})


def test_claims_are_counted_only_where_intervals_are_apart():
    rows = [found("teacher", 25, frechet=2.0, direction=0.8), found("AnimateLCM", 4, frechet=2.2, direction=0.6),
            found("AnimateLCM", 8, frechet=2.0, obedience=0.8), found("DDIM", 4, frechet=2.39),
            found("DDIM", 8, frechet=2.21, obedience=0.5)]
    assert against_teacher(rows).figures == {"colour": 1.0, "shape": 1.0, "direction": 0.75, "frechet": 1.1}
    claim = against_baselines(rows)
    assert claim.figures == {"DDIM frechet": [8], "DDIM obedience": [8]} and len(claim.lines) == 2
    assert against_teacher(rows[2:]).figures == {}


def test_initialisations_are_compared_seed_by_seed():
    # What the seeds have in common is not part of the interval.
    claim = seed_by_seed("Distance", {
        "init student": {25: [0.1, 0.5, 0.9]}, "init both": {25: [0.2, 0.6, 1.0]}, "init none": {25: [0.1, 0.6, 1.1]}})
    assert claim.figures["init both"][25] == pytest.approx({"mean": 0.1, "half_width": 0})
    assert claim.figures["init none"][25] == pytest.approx({"mean": 0.1, "half_width": 0.248}, abs=1e-3)
    assert len(claim.lines) == 2 and "Distance, init both less init student" in claim.lines[0]
    single = seed_by_seed("Distance", {"init student": {25: [0.1]}, "init both": {25: [0.3]}})
    assert single.figures["init both"][25]["half_width"] is None


def test_the_distance_from_the_teacher_is_over_the_same_noise_and_is_kept(tmp_path, monkeypatch):
    asked = []

    def sampler(parts):
        def sample(prompt, seed, settings, hints, reference):
            asked.append((parts, prompt, seed, settings.steps, settings.cfg))
            return torch.full((2, 3, 8, 8), 0.5 if parts == Parts() else 0.25)
        return sample

    monkeypatch.setattr(runner, "DemoSampler", sampler)
    run, method = Runner(tmp_path), ours(DISTILLED)
    assert run.from_teacher(method, 4, seed=2, prompts=2) == pytest.approx(0.25)
    prompts = [world.caption(scene) for scene in scenes(2, 2)]
    assert asked == [(parts, prompts[number], 20_000 + number, steps, cfg) for number in (0, 1)
                     for parts, steps, cfg in ((Parts(), 25, 4.0), (DISTILLED, 4, 1.0))]
    # Again, nothing is sampled; another number of steps only needs clips of its own.
    assert run.from_teacher(method, 4, seed=2, prompts=2) == pytest.approx(0.25) and len(asked) == 4
    run.from_teacher(method, 1, seed=2, prompts=2)
    assert [entry[0] for entry in asked[4:]] == [DISTILLED] * 2


def test_a_clip_that_is_measured_in_two_ways_is_sampled_once(tmp_path, monkeypatch):
    asked = []

    def sampler(parts):
        def sample(prompt, seed, *_):
            asked.append((parts, seed))
            return world.render(scenes(2, 2)[seed % 2])
        return sample

    monkeypatch.setattr(runner, "DemoSampler", sampler)
    run, method = Runner(tmp_path), ours(DISTILLED)
    run(method, 4, 1.0, 2, 2)
    assert run.from_teacher(method, 4, seed=2, prompts=2) == 0
    assert sorted(seed for parts, seed in asked if parts == DISTILLED) == [20_000, 20_001]
    # Fewer steps are other clips.
    run(method, 2, 1.0, 2, 2)
    assert len([seed for parts, seed in asked if parts == DISTILLED]) == 4

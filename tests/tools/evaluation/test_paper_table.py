"""The report: guidance is searched for, intervals are over seeds, and what a method is shown is what it is given."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from animatelcm.demo.captions import caption, loose_caption
from animatelcm.demo.files import FEW_STEP_LAYOUT, I2V_MOTION, LAYOUT, MODELS, PASTEL, WEIGHTS
from animatelcm.demo.scenes import Scene, outline, render
from animatelcm.tools.demo import styles
from animatelcm.tools.demo.latent_cache import load_codec, through_codec
from animatelcm.tools.demo.sampler import DISTILLED, Parts, Settings
from animatelcm.tools.evaluation import measure, runner
from animatelcm.tools.evaluation.claims import against_baselines, against_teacher, seed_by_seed, texture_kept
from animatelcm.tools.evaluation.features import NUM_FEATURES
from animatelcm.tools.evaluation.intervals import Estimate, estimate
from animatelcm.tools.evaluation.measure import WORDS, Figures, Measured, scenes
from animatelcm.tools.evaluation.methods import (
    BASELINES,
    FOLLOWS,
    GUIDANCE,
    SEEDS,
    STEP_COUNTS,
    Method,
    adapted,
    compared,
    ours,
    personalised,
)
from animatelcm.tools.evaluation.paper_table import _arguments
from animatelcm.tools.evaluation.report import TITLES, Row, Section, plain, plot, plot_training
from animatelcm.tools.evaluation.runner import Runner, digest, sampled
from animatelcm.tools.evaluation.sections import SEARCH_SEED, Scope, adapters, chosen_cfg, row, samplers


def figures(frechet, motion=1.0):
    return Figures(frechet, subject=1.0, way=0.5, backdrop=0.25, explained=0.9, texture=0.8, change=1.5, motion=motion,
                   layout=0.1, start=0.2, burned=0.0)


class Stub:
    """Runs that are numbers: a run's distance is what is asked of it, several runs' is their mean."""

    def __init__(self, number=lambda method, steps, cfg, seed: 1.0):
        self.number, self.asked = number, []

    def __call__(self, method, steps, cfg, seed, prompts):
        self.asked.append((method, steps, cfg, seed, prompts))
        return self.number(method, steps, cfg, seed)

    def figures(self, runs):
        return figures(sum(runs) / len(runs))

    def world(self, words, seed, prompts):
        return 0.5

    def world_through_codec(self, words, seed, prompts):
        return 0.75


def scope_of(run, folder=Path(), **how):
    usual = {"parts": Parts(), "seeds": 3, "prompts": 8, "search_prompts": 4, "methods": [], "ablation_steps": 8}
    return Scope(run=run, timings=0, docs=folder, **usual | how)


def test_guidance_is_chosen_for_every_number_of_steps_on_prompts_of_their_own():
    run = Stub(lambda method, steps, cfg, seed: abs(cfg - steps))
    method = Method("any", "ddim", "normal", cfgs=(1.0, 2.0, 4.0))
    assert [chosen_cfg(method, steps, run, 5) for steps in STEP_COUNTS] == [1.0, 2.0, 4.0, 4.0]
    assert {(seed, prompts) for *_, seed, prompts in run.asked} == {(SEARCH_SEED, 5)}
    assert SEARCH_SEED not in range(SEEDS)
    run.asked.clear()
    assert chosen_cfg(Method("any", "lcm", "simple"), 4, run, 5) == 1.0 and not run.asked


def test_baselines_are_there_at_the_teachers_guidance_and_at_their_best():
    table = compared(DISTILLED, "class words")
    guidance = {name: method.cfgs for name, method in table.items()}
    assert guidance == {"teacher": (Settings().cfg,), "AnimateLCM": (1.0,),
                        **dict.fromkeys(BASELINES, (Settings().cfg,)),
                        **dict.fromkeys((f"{name}, cfg by distance" for name in BASELINES), GUIDANCE)}
    assert table["teacher"].steps == (25, 50) and Settings().cfg in GUIDANCE
    assert {method.words for method in table.values()} == {"class words"}


def test_intervals_are_over_seeds():
    scope = scope_of(Stub(lambda method, steps, cfg, seed: seed + steps))
    two, four = scope.rows([Method("any", "ddim", "normal", steps=(2, 4), cfgs=(2.0,))])
    assert (four.steps, four.cfg) == (4, 2.0)
    expected = estimate([4, 5, 6])
    assert vars(four.figures["frechet"]) == pytest.approx(vars(expected))
    assert two.figures["way"].mean == 0.5 and two.figures["way"].half_width == 0
    assert two.figures["accuracy"].mean == pytest.approx((1 + 0.5 + 0.25) / 3)


def test_a_difference_of_distances_is_over_seeds_too():
    scope = scope_of(Stub(lambda method, steps, cfg, seed: {"near": seed, "far": 2 * seed + 1}[method.name]))
    near, far = (Method(name, "lcm", "simple", steps=(4,)) for name in ("near", "far"))
    assert vars(scope.nearer(near, far)) == pytest.approx(vars(estimate([1, 2, 3])))


def test_the_distance_of_a_row_is_that_of_all_its_clips_together():
    # One seed's clips alone have next to no spread; those of all seeds have.
    apart = [figures(3.0), figures(9.0), figures(9.0)]
    run = row("any", 1, 1.0, [1, 2], lambda runs: apart[0] if len(runs) == 2 else apart[runs[0]])
    assert run.figures["frechet"] == Estimate(3.0, 0.0)


@pytest.mark.parametrize("words", WORDS)
def test_the_tables_of_samplers_have_the_world_and_all_methods(tmp_path, words):
    run = Stub()
    section = samplers(scope_of(run, tmp_path, methods=list(compared(DISTILLED))), words)
    rows = [(one.method, one.steps) for one in section.rows]
    assert rows[:4] == [("the world", None), ("the world through the codec", None), ("teacher", 25), ("teacher", 50)]
    assert rows[4:] == [(name, steps) for name in compared(DISTILLED) if name != "teacher" for steps in STEP_COUNTS]
    assert {method.words for method, *_ in run.asked} == {words}
    assert ("| background |" in section.markdown()) == (words == "specific")
    [picture] = tmp_path.iterdir()
    assert f"({picture.name})" in section.text


def test_files_of_ours_are_asked_for_by_name(tmp_path):
    method = ours(Parts(tmp_path / "my_motion.safetensors", (tmp_path / "my_lora.safetensors",)))
    assert method.missing == ["my_motion.safetensors", "my_lora.safetensors"]
    (tmp_path / "my_lora.safetensors").touch()
    assert method.missing == ["my_motion.safetensors"]
    known = (*compared(DISTILLED).values(), *personalised(DISTILLED), *adapted(DISTILLED))
    assert not [name for method in known if method.name != "ControlNet, adapted" for name in method.missing]
    assert {method.follows for method in known} == set(FOLLOWS)


def test_a_method_whose_files_are_not_there_is_named_and_left_out(tmp_path):
    section = adapters(scope_of(Stub(), tmp_path, parts=Parts(tmp_path / "none.safetensors"), seeds=1))
    assert "the prompt alone: there is no none.safetensors." in section.text
    assert [one.method for one in section.rows] == ["image to video"]


def test_sections_put_the_right_files_beside_the_distilled_ones():
    teacher, student = personalised(DISTILLED)
    assert teacher.parts == Parts(loras=(MODELS / PASTEL,)) and teacher.steps == (25,)
    assert student.parts == Parts(DISTILLED.motion, (*DISTILLED.loras, MODELS / PASTEL))
    prompt, image, before, after = adapted(DISTILLED)
    assert (prompt.parts, image.parts) == (DISTILLED, Parts(MODELS / I2V_MOTION, DISTILLED.loras))
    assert [method.parts.control_net for method in (before, after)] == [MODELS / LAYOUT, MODELS / FEW_STEP_LAYOUT]


def test_records_are_told_apart_by_settings_and_weights(tmp_path):
    weights = tmp_path / "motion.safetensors"
    weights.write_bytes(b"one")
    method = Method("any", "ddim", "normal", parts=Parts(motion=weights))
    one = digest(method)
    assert one == digest(replace(method, name="other name"))
    others = (replace(method, scheduler="simple"), replace(method, pastel=True), replace(method, follows="layout"),
              replace(method, words="class words"))
    assert len({one, *map(digest, others)}) == 5
    weights.write_bytes(b"two")
    assert digest(method) != one


def test_a_method_is_shown_what_it_follows_and_measured_in_the_worlds_palette():
    scene = Scene("penguin", "left", "snow")
    drawn = render(scene)
    given = []

    def sampler(prompt, seed, settings, hints, reference):
        given.append((prompt, seed, hints, reference))
        return styles.pastel(drawn.frames)

    def clip(**how):
        return sampled(sampler, Method("any", "lcm", "simple", **how), scene, 7, Settings())

    torch.testing.assert_close(clip(pastel=True), drawn.frames.clamp(0, 1))
    for how in ({"words": "class words"}, {"follows": "layout"}, {"follows": "image"}):
        clip(**how)
    alone, loose, layout, image = given
    assert alone == (caption(scene), 7, None, None) and loose == (loose_caption(scene), 7, None, None)
    assert torch.equal(layout[2], outline(drawn)) and layout[3] is None
    assert image[2] is None and torch.equal(image[3], drawn.frames[0])


def test_the_codec_gives_back_what_it_is_given_nearly():
    frames = render(Scene("penguin", "left", "snow")).frames[::8]
    back = through_codec(load_codec(WEIGHTS), frames)
    assert back.shape == frames.shape and back.min() >= 0 and back.max() <= 1
    assert 1e-5 < (back - frames).square().mean() < 0.002


@pytest.fixture
def measured(monkeypatch):
    """Measure only how bright clips are, and count how often the world goes through the codec."""
    decodings = []
    monkeypatch.setattr(measure, "measure_clip", lambda clip, scene, prompt: Measured(
        [float(clip.mean())] * NUM_FEATURES, {"subject": True, "way": True}, 0.9, float(clip.mean()), 1.0, 1.0, 0.5,
        0.5, 0.0))
    monkeypatch.setattr(measure, "WORLD_CLIPS", 3)
    monkeypatch.setattr(runner, "load_codec", lambda folder: None)
    monkeypatch.setattr(runner, "through_codec", lambda codec, frames: decodings.append(None) or torch.ones(1))
    return decodings


def test_runs_are_over_the_world_through_the_codec_which_is_measured_once(tmp_path, monkeypatch, measured):
    monkeypatch.setattr(runner, "DemoSampler", lambda parts: lambda *asked: torch.full((1,), 0.25))
    for _ in range(2):
        run = Runner(tmp_path)
        whole, loose = (run(replace(ours(DISTILLED), words=words), 4, 1.0, 2, 2) for words in WORDS)
        assert run.figures([whole]).texture == run.figures([whole, loose]).texture == pytest.approx(0.25)
        assert run.figures([run.world_through_codec("specific", 2, 2)]).texture == 1
    assert len(measured) == 2, "once for each scene, whatever the words, and never again"
    world = run.figures([run.world("class words", 2, 2)])
    assert 0.2 < world.texture < 0.9 and math.isnan(world.backdrop) and len(measured) == 2


ROWS = [Row(name, steps, cfg, {figure: estimate([0.5, 1.0]) for figure in TITLES})
        for name, steps, cfg in (("the world", None, None), ("teacher", 25, 3.0), ("DDIM", 1, 2.0), ("DDIM", 8, 2.0))]


def test_a_section_is_markdown_with_a_line_for_each_row():
    title, _, text, _, *lines = Section("Samplers", "Said so.\n", ("subject", "motion"), ROWS).markdown().splitlines()
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
    rows = [found("teacher", 25, frechet=2.0, way=0.8), found("AnimateLCM", 4, frechet=2.2, way=0.6, backdrop=math.nan),
            found("AnimateLCM", 8, frechet=2.0, subject=0.8), found("DDIM", 4, frechet=2.39),
            found("DDIM", 8, frechet=2.5, subject=0.5), found("DDIM, cfg by distance", 8, frechet=2.1)]
    assert against_teacher(rows).figures == {"subject": 1.0, "way": 0.75, "frechet": 1.1}
    assert against_teacher(rows[2:]).figures == {}
    paper, best = against_baselines(rows)
    assert paper.figures == {
        "DDIM frechet": [8], "DDIM subject": [8], "DDIM frechet over ours": {4: 1.09, 8: 1.25},
        "DDIM subject lead": {4: 0.0, 8: 0.3}}
    assert best.figures["DDIM, cfg by distance frechet"] == [] and "at no number of steps" in best.lines[0]
    assert "1.09 at 4, 1.25 at 8 steps" in paper.lines[2]


def test_texture_is_said_by_steps_and_not_of_the_world():
    rows = [found("the world", None), found("teacher", 25, texture=0.9), found("DDIM", 1, texture=0.1),
            found("DDIM", 8, texture=0.7)]
    claim = texture_kept(rows)
    assert claim.figures == {"texture kept": {"teacher": {25: 0.9}, "DDIM": {1: 0.1, 8: 0.7}}}
    assert claim.lines[1] == "Texture kept, DDIM: 0.10 at 1, 0.70 at 8 steps."


def test_ways_to_train_are_compared_by_their_leads():
    gains = {"init both": {25: estimate([0.1, 0.1, 0.1])}, "init none": {25: estimate([0.2])}}
    claim = seed_by_seed("Distance", "init student", gains)
    assert claim.figures == {"init both": {25: {"mean": pytest.approx(0.1), "half_width": pytest.approx(0)}},
                             "init none": {25: {"mean": 0.2, "half_width": None}}}
    assert len(claim.lines) == 2 and "Distance, init both less init student" in claim.lines[0]


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
    prompts = [caption(scene) for scene in scenes(2, 2)]
    assert asked == [(parts, prompts[number], 20_000 + number, steps, cfg) for number in (0, 1)
                     for parts, steps, cfg in ((Parts(), 25, 4.0), (DISTILLED, 4, 1.0))]
    # Again, nothing is sampled; another number of steps only needs clips of its own.
    assert run.from_teacher(method, 4, seed=2, prompts=2) == pytest.approx(0.25) and len(asked) == 4
    run.from_teacher(method, 1, seed=2, prompts=2)
    assert [entry[0] for entry in asked[4:]] == [DISTILLED] * 2


def test_a_clip_that_is_measured_in_two_ways_is_sampled_once(tmp_path, monkeypatch, measured):
    asked = []

    def sampler(parts):
        def sample(prompt, seed, *_):
            asked.append((parts, seed))
            return render(scenes(2, 2)[seed % 2]).frames
        return sample

    monkeypatch.setattr(runner, "DemoSampler", sampler)
    run, method = Runner(tmp_path), ours(DISTILLED)
    run(method, 4, 1.0, 2, 2)
    assert run.from_teacher(method, 4, seed=2, prompts=2) == 0
    assert sorted(seed for parts, seed in asked if parts == DISTILLED) == [20_000, 20_001]
    # Fewer steps are other clips.
    run(method, 2, 1.0, 2, 2)
    assert len([seed for parts, seed in asked if parts == DISTILLED]) == 4


@pytest.mark.parametrize("part", [["--sections", "samplers"], ["--methods", "DDIM"], ["--motion", "mine.safetensors"]])
def test_a_part_of_the_table_does_not_take_the_place_of_the_page(monkeypatch, capsys, part):
    monkeypatch.setattr(sys, "argv", ["paper-table", *part])
    with pytest.raises(SystemExit):
        _arguments()
    assert f"with {part[0]}" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["paper-table", *part, "--docs", "elsewhere"])
    assert _arguments().docs == Path("elsewhere")

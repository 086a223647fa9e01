"""The table: a record of each video, what all of them say, and a page whose words follow its figures."""

import json
import math
import sys
from dataclasses import replace

import pytest
import torch
from animatelcm.tools.demo.explained import Seen
from animatelcm.tools.demo.sampler import DISTILLED
from animatelcm.tools.evaluation.intervals import Estimate, estimate
from animatelcm.tools.evaluation.long_video import measure, page, runner, table
from animatelcm.tools.evaluation.long_video.columns import COLUMNS, legend
from animatelcm.tools.evaluation.long_video.figures import Figures, row, sum_up
from animatelcm.tools.evaluation.long_video.measure import Movement, Stretch, Video
from animatelcm.tools.evaluation.long_video.runner import LongRunner
from animatelcm.tools.evaluation.long_video.sampling import Sampled
from animatelcm.tools.evaluation.long_video.ways import ANCHORED, LONG_VIDEO, MAIN, ONE_PIECE, ROLLING, VARIANTS, WAYS
from animatelcm.tools.evaluation.report import said
from PIL import Image

RIGHT = dict.fromkeys(("subject", "way", "backdrop"), True)
SHOWN = [Stretch(begin, "horse", "meadow", RIGHT, 0.9, 0.0, 0.002) for begin in range(0, 128, 16)]
MOVES = Movement(seams=1.5, highest=2.0, restarts=1.0, motion=0.8, change=0.02)
VIDEO = Video(SHOWN, MOVES, 4.0, 0.1)
SIDE = 32


class Stub:
    """Makes videos of noise, the same for the same seed, and notes what was asked for."""

    def __init__(self, parts=None):
        self.asked = []

    def __call__(self, way, prompt, seed, num_frames):
        self.asked.append((way.name, seed))
        drawn = torch.rand(way.frames(num_frames), 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
        return Sampled(drawn, 4 * len(drawn), 0.1)


@pytest.fixture(autouse=True)
def no_looking(monkeypatch):
    """Let every stretch show a horse on the meadow."""
    monkeypatch.setattr(measure, "see", lambda clip: Seen(
        "horse", "left", "meadow", 0.5, torch.zeros(len(clip), 2), torch.zeros(len(clip), SIDE, SIDE)))


def test_figures_are_of_all_videos_together():
    dogs = [replace(stretch, subject="dog", obeyed=RIGHT | {"subject": False}, colour=0.2, texture=0.001)
            for stretch in SHOWN[6:]]
    turned = Video(SHOWN[:6] + dogs, replace(MOVES, motion=math.nan), 8.0, 0.3)
    found = sum_up([VIDEO, turned])
    assert (found.seams, found.motion, found.evaluations, found.milliseconds) == (1.5, 0.8, 6.0, pytest.approx(200))
    assert (found.identity, found.subject, found.way) == (pytest.approx(12 / 14), pytest.approx(12 / 14), 1)
    # The last quarter is where the dog is.
    assert found.colour == pytest.approx(0.1) and found.texture == pytest.approx(0.75)


def test_a_clip_in_one_piece_has_no_end():
    found = sum_up([replace(VIDEO, stretches=SHOWN[:1], movement=replace(MOVES, seams=math.nan))])
    assert all(math.isnan(value) for value in (found.identity, found.colour, found.texture, found.seams))
    assert found.subject == 1


def test_intervals_are_over_seeds():
    runs = [[replace(VIDEO, evaluations=value)] for value in (4.0, 5.0, 9.0)]
    found = row("any", runs).figures["evaluations"]
    assert vars(found) == pytest.approx(vars(estimate([4.0, 5.0, 9.0])))
    assert math.isnan(row("any", runs[:1]).figures["evaluations"].half_width)


def test_every_figure_has_a_column_and_is_in_one_of_the_tables():
    names = list(Figures.__dataclass_fields__)
    assert sorted(COLUMNS) == sorted(name for columns in page.TABLES.values() for name in columns) == sorted(names)
    assert all(column.title in legend() for column in COLUMNS.values())


def with_seams(*seams, identity=1.0):
    gone = [replace(stretch, subject="dog") for stretch in SHOWN[4:]]
    return [[Video(SHOWN if identity == 1 else SHOWN[:4] + gone, replace(MOVES, seams=value), 4.0, 0.1)]
            for value in seams]


def test_words_follow_the_figures():
    compared = table.Table({LONG_VIDEO.name: with_seams(2.0, 2.1, 2.2), ROLLING.name: with_seams(1.0, 1.2, 1.3),
                            ANCHORED.name: with_seams(1.9, 2.4, 2.0, identity=0.5)})
    rolling, anchored, _, chance = compared.verdicts([(ROLLING, LONG_VIDEO), (ANCHORED, LONG_VIDEO)]).splitlines()
    assert "better: seams (1.17 against 2.1);" in rolling
    assert "worse: identity kept (0.429 against 1);" in anchored and "shown: seams (2.1 against 2.1)" in anchored
    judged = sum(column.score is not None for column in COLUMNS.values())
    assert chance.startswith(f"These are {2 * judged} comparisons.")
    assert COLUMNS["milliseconds"].score is None, "it is of the machine"


def test_of_a_single_seed_no_difference_is_shown():
    compared = table.Table({LONG_VIDEO.name: with_seams(2.0), ROLLING.name: with_seams(1.0)})
    words = compared.verdicts([(ROLLING, LONG_VIDEO), (ANCHORED, LONG_VIDEO)])
    assert "better:" not in words and "no difference shown: seams (1 against 2)" in words


def test_figures_that_are_not_there_are_left_empty():
    assert said(Estimate(math.nan, math.nan)) == ""
    compared = table.Table({LONG_VIDEO.name: with_seams(math.nan), ROLLING.name: with_seams(1.0)})
    assert "seams" not in compared.verdicts([(ROLLING, LONG_VIDEO), (ANCHORED, LONG_VIDEO)])


def test_a_run_that_was_killed_goes_on(tmp_path, monkeypatch):
    stub = Stub()
    run = LongRunner(tmp_path, DISTILLED)
    run.sampler = lambda parts: stub
    with monkeypatch.context() as patch:
        patch.setattr(runner, "measure_video", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt)
                      if len(stub.asked) == 3 else VIDEO)
        with pytest.raises(KeyboardInterrupt):
            run(ROLLING, 2, 4, 32)
        stub.asked.append("again")
        found = run(ROLLING, 2, 4, 32)
    assert found == [VIDEO] * 4
    assert [seed for name, seed in (entry for entry in stub.asked if entry != "again")] == [
        20_000, 20_001, 20_002, 20_002, 20_003]
    # Other lengths and other ways are other videos, with the same prompts and the same noise.
    stub.asked.clear()
    run(ROLLING, 2, 1, 48)
    run(LONG_VIDEO, 2, 1, 32)
    assert run(ROLLING, 2, 4, 32) == found
    assert stub.asked == [(ROLLING.name, 20_000), (LONG_VIDEO.name, 20_000)]


def test_a_record_holds_what_was_measured(tmp_path):
    run = LongRunner(tmp_path, DISTILLED)
    run.sampler = lambda parts: Stub()
    first = run(ONE_PIECE, 0, 1, 32)
    assert first[0].evaluations == 4 and math.isnan(first[0].movement.seams) and len(first[0].stretches) == 1
    again = run(ONE_PIECE, 0, 1, 32)
    assert repr(again) == repr(first)


def test_the_page_is_written_with_its_pictures(tmp_path, monkeypatch, capsys):
    variant, other = next(iter(VARIANTS.items()))
    ways = [ONE_PIECE, *MAIN, variant]
    monkeypatch.setattr(runner, "LongSampler", Stub)
    monkeypatch.setattr(runner, "tuned", lambda way, parts, folder: replace(parts, control_net=folder / "tuned"))
    monkeypatch.setattr(runner, "evidence", lambda settings, files, *code: str(files))
    monkeypatch.setattr(table, "PICTURED_FRAMES", 20)
    monkeypatch.setattr(table, "VARIANTS", {variant: other})
    monkeypatch.setattr(sys, "argv", ["x", "--seeds", "2", "--prompts", "1", "--frames", "32", "--folder",
                                      str(tmp_path / "records"), "--docs", str(tmp_path), "--variants"])
    table.main()
    text = (tmp_path / "long-video.md").read_text(encoding="utf-8")
    assert all(f"| {way.name} |" in text for way in ways) and "nan" not in text and "{" not in text
    assert "long-video-table --seeds 2 --prompts 1 --frames 32 --variants\n" in text
    assert f"- **{variant.name}**, beside {other.name}:" in text
    assert all(f"({path})" in text and (tmp_path / path).is_file() for path in ("long-video.png", "long-video.webp"))
    with Image.open(tmp_path / "long-video.webp") as moving:
        assert (moving.n_frames, moving.size) == (20, (len(MAIN) * SIDE, SIDE + 14))
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(printed["ways"]) == {way.name for way in ways} and printed["frames"] == 32
    assert printed["ways"][ROLLING.name]["evaluations"]["mean"] == 4


def test_ways_are_known_by_their_names():
    assert list(WAYS) == [way.name for way in (ONE_PIECE, *MAIN, *VARIANTS)]

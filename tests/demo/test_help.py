"""What is said of the demo model where a user reads it: all that it knows, and nothing else."""

import json
from pathlib import Path

import pytest
from animatelcm.demo.backdrops import BACKDROPS
from animatelcm.demo.captions import read
from animatelcm.demo.scenes import WAYS
from animatelcm.demo.subjects import NAMES

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "web" / "docs" / "AnimateLCM_LoadDemoModel").glob("*.md"))
TEXTS = sorted((ROOT / "locales").glob("*/nodeDefs.json"))
EXAMPLE = "a penguin running left in the snow"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_each_help_page_names_every_subject_way_and_place(page):
    text = page.read_text(encoding="utf-8")
    known = [*NAMES, *(way for way in WAYS if way != "still"), *(place.phrases[0] for place in BACKDROPS.values())]
    assert [words for words in known if words not in text] == []
    assert EXAMPLE in text


@pytest.mark.parametrize("texts", TEXTS, ids=lambda path: path.parent.name)
def test_each_tooltip_gives_a_prompt_that_the_model_knows(texts):
    nodes = json.loads(texts.read_text(encoding="utf-8"))
    assert EXAMPLE in nodes["AnimateLCM_LoadDemoModel"]["outputs"]["1"]["tooltip"]


def test_the_example_says_who_where_to_and_where():
    said = read(EXAMPLE)
    assert (said.subject, said.way, said.backdrop) == ("penguin", "left", "snow")


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "batches.md"], ids=lambda path: path.name)
def test_the_first_commands_give_it_too(page):
    assert EXAMPLE in page.read_text(encoding="utf-8")

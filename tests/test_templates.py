"""The templates as the editor lists and opens them: names that sort and read as titles, graphs that can be read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from animatelcm.tools.workflows import layout
from animatelcm.tools.workflows.layout import Box
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "example_workflows"
TEMPLATES = sorted(EXAMPLES.glob("*.json"))
NAMES = [path.stem for path in TEMPLATES]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("web/docs/*/*.md")]
SCREEN, LEFT, TOP = (1440, 900), 60, 95
"""A laptop's screen, and what the editor's bars cover of it."""
TEXT_SHOWN = 8 / 14
"""Below this zoom the classic canvas leaves text out: titles have 14 pixels, and 8 are the least that it draws."""
NOTES = ("Note", "MarkdownNote")


def graph(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(params=TEMPLATES, ids=NAMES)
def workflow(request):
    return graph(request.param)


def test_names_are_numbered_titles():
    assert [name[:2] for name in NAMES] == [f"{number:02}" for number in range(1, len(NAMES) + 1)]
    assert all(re.fullmatch(r"\d\d( [A-Z][A-Za-z]+| to)+", name) and len(name) <= 32 for name in NAMES)
    # Its title is the same words everywhere; the editor shows one line.
    assert len({name[3:] for name in NAMES}) == len(NAMES)


def test_real_ones_come_first_and_training_last_with_what_samples_its_files_behind():
    demo = [name.endswith(" Demo") for name in NAMES]
    assert demo == sorted(demo) and demo.count(False) == 2
    for path in TEMPLATES:
        kinds = {node["type"] for node in graph(path)["nodes"]}
        assert ("AnimateLCM_LoadDemoModel" in kinds) == path.stem.endswith(" Demo")
    assert [" Train " in name for name in NAMES[-3:]] == [True, True, False] and "Trained" in NAMES[-1]
    assert not any(" Train" in name for name in NAMES[:-3])


def test_pages_and_notes_name_templates_that_are_there():
    texts = {path: path.read_text(encoding="utf-8") for path in PAGES}
    for path in TEMPLATES:
        texts[path] = "\n".join(node["widgets_values"][0] for node in graph(path)["nodes"] if node["type"] in NOTES)
    named = {name for text in texts.values() for name in re.findall(r"(?:`|\*\*|/)(\d\d [A-Z][A-Za-z ]+)", text)}
    assert {name for name in named if name not in NAMES} == set()
    # The README lists all of them.
    assert [name for name in NAMES if f"`{name}`" not in texts[ROOT / "README.md"]] == []


def test_every_picture_is_of_a_template():
    pictures = [*EXAMPLES.glob("*.jpg"), *(ROOT / "docs" / "gallery").glob("*.webp")]
    assert [path.name for path in pictures if path.stem not in NAMES] == []


def test_every_template_has_a_square_moving_thumbnail():
    for path in TEMPLATES:
        with Image.open(path.with_suffix(".jpg")) as image:
            assert image.width == image.height and getattr(image, "n_frames", 1) > 1, path.name


def test_nodes_do_not_overlap_even_while_they_run(workflow):
    assert layout.overlaps(layout.boxes_of(workflow)) == []


def test_nodes_are_as_wide_as_both_designs_draw_them(workflow):
    assert [node["id"] for node in workflow["nodes"] if node["size"][0] < layout.NARROWEST] == []


def test_groups_hold_their_nodes_even_while_they_run(workflow):
    boxes = layout.boxes_of(workflow)
    assert layout.strays(workflow, boxes) == []
    groups = layout.groups_of(workflow).values()
    lonely = [node["id"] for node in workflow["nodes"]
              if node["type"] not in NOTES and not any(group.holds(boxes[node["id"]]) for group in groups)]
    assert lonely == [] and all(any(group.holds(box) for box in boxes.values()) for group in groups)


def test_wires_go_from_left_to_right_and_not_behind_nodes(workflow):
    boxes = layout.boxes_of(workflow)
    assert layout.backward(workflow, boxes) == [] and layout.behind(workflow, boxes) == []


def test_it_has_a_note_with_a_title(workflow):
    titles = [node.get("title") for node in workflow["nodes"] if node["type"] in NOTES]
    assert titles and all(title and "Note" not in title for title in titles)


def test_it_opens_whole_on_a_laptop_with_text_that_can_be_read(workflow):
    view = workflow["extra"]["ds"]
    assert TEXT_SHOWN < view["scale"] <= 1
    for box in (*layout.boxes_of(workflow).values(), *layout.groups_of(workflow).values()):
        left, right = ((x + view["offset"][0]) * view["scale"] for x in (box.left, box.right))
        top, bottom = ((y + view["offset"][1]) * view["scale"] for y in (box.top, box.bottom))
        assert left >= LEFT and right <= SCREEN[0] and top >= TOP and bottom <= SCREEN[1]


class TestFaultsAreSeen:
    """The checks above on a graph of three nodes in a row, in a group, with one link over the middle one."""

    @staticmethod
    def row(**places):
        positions = {1: [0, 0], 2: [200, 0], 3: [400, 0]} | {int(name[1:]): place for name, place in places.items()}
        nodes = [{"id": name, "type": "Any", "pos": place, "size": [100, 60], "inputs": [{"name": "in"}],
                  "outputs": [{"name": "out"}]} for name, place in positions.items()]
        return {"nodes": nodes, "links": [[1, 1, 0, 3, 0, "ANY"]], "extra": {},
                "groups": [{"title": "All", "bounding": [-20, -60, 540, 140]}]}

    def test_a_wire_behind_a_node(self):
        workflow = self.row()
        assert layout.behind(workflow, layout.boxes_of(workflow)) == [
            "the link from node 1 to node 3 runs behind node 2"]
        workflow = self.row(n2=[200, 100])
        assert layout.behind(workflow, layout.boxes_of(workflow)) == []

    def test_a_wire_that_is_led_around_it(self):
        workflow = self.row()
        workflow["extra"] = {"reroutes": [{"id": 1, "pos": [150, 90]}, {"id": 2, "parentId": 1, "pos": [350, 90]}],
                             "linkExtensions": [{"id": 1, "parentId": 2}]}
        assert layout.behind(workflow, layout.boxes_of(workflow)) == []

    def test_a_wire_that_runs_back(self):
        workflow = self.row(n3=[40, 200])
        assert layout.backward(workflow, layout.boxes_of(workflow)) == ["the link from node 1 to node 3 runs back"]

    def test_nodes_that_touch_and_one_that_sticks_out(self):
        workflow = self.row(n2=[101, 40])
        boxes = layout.boxes_of(workflow)
        assert layout.overlaps(boxes) == ["nodes 1 and 2 overlap"]
        assert layout.strays(workflow, boxes) == ["node 2 sticks out of 'All'"]
        assert layout.strays(workflow, layout.boxes_of(workflow, {1: 60, 2: 30, 3: 90})) == [
            "node 3 sticks out of 'All'"]

    def test_groups_that_overlap(self):
        workflow = self.row()
        workflow["groups"].append({"title": "Other", "bounding": [500, 0, 100, 300]})
        assert layout.strays(workflow, {}) == ["'All' overlaps 'Other'"]
        assert layout.groups_of(workflow)["Other"] == Box(500, 0, 600, 300)

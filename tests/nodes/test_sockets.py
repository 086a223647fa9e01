"""What the nodes' sockets have in common, and by which words a node is found."""

import pytest
from animatelcm.host.folders import register_folders
from animatelcm.nodes import NODES

register_folders()

SCHEMAS = {schema.display_name: schema for schema in (node.define_schema() for node in NODES)}


def test_nodes_of_one_graph_allow_the_same_number_of_frames():
    """A recorded video has as many prompts and reference images as it has frames."""
    names = ("Text to Video", "Image to Video", "Prompt Schedule", "Record Video")
    found = {name: given for name in names for given in SCHEMAS[name].inputs if given.id == "num_frames"}
    assert found.keys() == set(names)
    assert len({given.max for given in found.values()}) == 1
    assert all("4096" not in given.tooltip and "1024" not in given.tooltip for given in found.values())


@pytest.mark.parametrize(("words", "name"), [
    *((word, "Text to Video") for word in ("txt2vid", "t2v", "text2video")),
    *((word, "Image to Video") for word in ("img2vid", "i2v", "image2video")),
    *((word, name) for word in ("vid2vid", "v2v", "video to video")
      for name in ("Apply Motion Module", "AnimateLCM Scheduler", "Record Video")),
])
def test_a_node_is_found_by_what_it_does(words, name):
    assert words in SCHEMAS[name].search_aliases

"""The pictures of the help pages can be made: each of their prompts is one that a server takes."""

import pytest
from animatelcm.tools.workflows.help_clips import CLIPS_OF


@pytest.mark.parametrize("compared", CLIPS_OF.values(), ids=CLIPS_OF)
def test_prompts_have_what_the_nodes_want(client, compared):
    known = client.object_info()
    for prompt in compared.prompts(known).values():
        for node in prompt.values():
            wanted = known[node["class_type"]]["input"].get("required", {})
            # Widgets that depend on another one's choice are there with a dot in their names.
            given = {name.partition(".")[0] for name in node["inputs"]}
            assert wanted.keys() <= given, node["class_type"]

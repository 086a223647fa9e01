"""What feeds an input: bypassed nodes hand on what the editor lets them hand on."""

from __future__ import annotations

import pytest
from animatelcm.client.workflow import BYPASSED, to_prompt
from animatelcm.tests.client.graphs import NODES


@pytest.mark.parametrize(("inputs", "outputs", "wanted", "expected"), [
    # The input in the same place, where its type fits.
    ({"a": "MODEL", "b": "MODEL"}, ["MODEL", "MODEL"], "MODEL", "b"),
    ({"a": "MODEL", "b": "CLIP"}, ["MODEL", "MODEL"], "MODEL", "a"),
    # The first of the type, linked or not: what is not linked there feeds nothing.
    ({"": "MODEL", "a": "MODEL", "b": "CLIP"}, ["CLIP", "X", "X", "MODEL"], "MODEL", None),
    # Types of several names, and any.
    ({"a": "CLIP", "b": "INT,FLOAT"}, ["X", "CLIP", "FLOAT"], "FLOAT", "b"),
    ({"a": "CLIP", "b": "INT"}, ["X", "INT"], "*", "b"), ({"a": "CLIP"}, ["X", "INT"], "*", "a"),
    ({"a": "*", "b": "INT"}, ["INT"], "INT", "a"), ({"a": "CLIP"}, ["INT"], "INT", None),
])
def test_which_input_a_bypassed_node_hands_on(inputs: dict[str, str], outputs: list[str], wanted: str,
                                              expected: str | None) -> None:
    """As the editor chooses it; the last output is the one that is linked."""
    sources = [{"id": number, "type": "Pass", "outputs": [{"type": kind}]} for number, kind in
               enumerate(inputs.values(), 1)]
    sockets = [{"name": name, "type": kind, "link": number if name else None}
               for number, (name, kind) in enumerate(inputs.items(), 1)]
    bypassed = {"id": 8, "type": "Pass", "mode": BYPASSED, "inputs": sockets,
                "outputs": [{"type": kind} for kind in outputs]}
    end = {"id": 9, "type": "Pass", "inputs": [{"name": "model", "type": wanted, "link": 9}]}
    links = [[number, number, 0, 8, number - 1, "*"] for number in range(1, len(sockets) + 1)]
    workflow = {"nodes": [*sources, bypassed, end], "links": [*links, [9, 8, len(outputs) - 1, 9, 0, "*"]]}
    found = to_prompt(workflow, NODES)["9"]["inputs"].get("model")
    assert found == (None if expected is None else [str(list(inputs).index(expected) + 1), 0])

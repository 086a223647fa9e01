"""A workflow file with nodes of other AnimateDiff packs, made into one with nodes of today."""

from __future__ import annotations

from typing import Any

from .draft import Draft
from .editor import read_graph, write_graph
from .motion import map_motion
from .others import PACKS, map_others, map_rest
from .prompt import read_prompt, write_prompt
from .report import Report
from .shapes import SHAPES, known
from .videos import map_videos

GROUP_NODES = ("workflow/", "workflow>")
"""How the types of nodes begin that older editors made out of several."""


def migrate(workflow: dict[str, Any], object_info: dict[str, Any] | None = None) -> tuple[dict[str, Any], Report]:
    """Return the new workflow and what became of the old one, which stays as it is.

    Args:
        workflow: A graph of the editor or a prompt in API format, whose form has been checked.
        object_info: A server's description of its nodes, where the workflow is to fit an older ComfyUI.
    """
    shapes = SHAPES if object_info is None else {kind: known(shape, object_info.get(kind)) for kind, shape in
                                                 SHAPES.items()}
    report = Report()
    is_graph = isinstance(workflow.get("nodes"), list)
    draft = read_graph(workflow) if is_graph else read_prompt(workflow)
    # First what gives a latent or frames, then what stands on them.
    map_others(draft, report)
    map_videos(draft, report)
    map_motion(draft, report)
    map_rest(draft, report)
    _note_what_is_inside(workflow, draft, report)
    draft.finish()
    return write_graph(workflow, draft, shapes) if is_graph else write_prompt(draft, shapes), report


def _note_what_is_inside(workflow: dict[str, Any], draft: Draft, report: Report) -> None:
    """Say which nodes stand for several, in which nothing is changed."""
    for node in draft.old.values():
        if node.kind.startswith(GROUP_NODES):
            report.not_mapped(node, "a group node, left whole: unpack it in the editor first")
    definitions = workflow.get("definitions")
    subgraphs = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    for subgraph in subgraphs if isinstance(subgraphs, list) else []:
        kinds = {str(node.get("type")) for node in subgraph.get("nodes") or [] if isinstance(node, dict)}
        old = sorted(kind for kind in kinds if any(kind.startswith(start) for start, _ in PACKS))
        if old:
            report.not_mapped(f"subgraph '{subgraph.get('name')}'", f"left whole, with {', '.join(old)} in it: unpack "
                              "it in the editor first")

"""Where the prompt stands in a workflow: the texts from which samplers get their positive conditioning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .problems import WorkflowError, name_of

TEXTS = ("text", "prompt", "user_prompt", "text_g", "text_l", "clip_g", "clip_l", "t5xxl", "llama", "bert", "mt5xl",
         "qwen25_7b")
"""The inputs of text encoders that hold the prompt, whole."""
PROMPT_SCHEDULE = "AnimateLCM_PromptSchedule"
WITHOUT_TEXT = "ConditioningZeroOut"


@dataclass(frozen=True)
class Place:
    """An input that holds a text, and whether its encoder reads a prompt schedule."""

    node_id: str
    name: str
    is_schedule: bool


def set_text(prompt: dict[str, Any], text: str, object_info: dict[str, Any] | None = None) -> None:
    """Write `text` where the workflow's one positive prompt stands.

    It may stand in several nodes, such as those of two samplers, if they say the same now. Where positive and negative
    come from one node, both change.

    Args:
        object_info: The server's description of its nodes, which says for every output whether it is the positive one.

    Raises:
        WorkflowError: There is none, or it is not certain which it is; nothing has been written then.
    """
    search = _Search(prompt, object_info or {})
    places = {place for node_id, names in search.starts() for place in search.behind(node_id, names)}
    if search.doubts:
        raise WorkflowError(f"it is not certain where the prompt goes: {'; '.join(search.doubts)}. "
                            "Name its input as NODE.INPUT instead")
    if not places:
        raise WorkflowError("this workflow has no text behind a sampler's `positive` input or a guider; "
                            "name the input for it as NODE.INPUT instead")
    found = {(place.node_id, place.name): prompt[place.node_id]["inputs"][place.name] for place in places}
    if len(set(found.values())) > 1 or len(found) < len(places):
        names = ", ".join(f"{node_id}.{name}" for node_id, name in sorted(found))
        raise WorkflowError(f"it is not certain which text is the prompt: {names} hold different ones. "
                            "Name one as NODE.INPUT instead")
    for place in places:
        prompt[place.node_id]["inputs"][place.name] = as_schedule(text) if place.is_schedule else text


class _Search:
    """Follows links backwards; what it cannot tell is written down in `doubts`."""

    def __init__(self, prompt: dict[str, Any], object_info: dict[str, Any]) -> None:
        self.prompt = prompt
        self.object_info = object_info
        self.doubts: list[str] = []

    def starts(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the nodes that use conditioning up, samplers and guiders, and the names of their positive inputs."""
        handed_on = {link[0] for node in self.prompt.values() for name, link in _links(node)
                     if _is_conditioning(name) or _is_negative(name)}
        for node_id, node in self.prompt.items():
            names = _positives(node)
            if not names and "Guider" in node["class_type"]:
                names = [name for name, _ in _links(node) if _is_conditioning(name)]
            if names and node_id not in handed_on:
                yield node_id, names

    def behind(self, node_id: str, names: list[str]) -> Iterator[Place]:
        """Yield the texts behind some inputs of a node."""
        seen: set[tuple[str, int]] = set()
        pending = [(node_id, name) for name in names]
        while pending:
            source, output = self._source(*pending.pop())
            if (source, output) in seen:
                continue
            seen.add((source, output))
            node = self.prompt[source]
            following = self._conditioning_inputs(source, output)
            texts = [name for name in TEXTS if name in node["inputs"]]
            if node["class_type"] == WITHOUT_TEXT:
                continue
            if texts and (following or output != 0):
                self.doubts.append(f"{name_of(source, node)} makes more than one conditioning of its text, or adds it "
                                   "to another")
            elif texts:
                for name in texts:
                    yield from self._text(source, name, node["class_type"] == PROMPT_SCHEDULE)
            elif not following and self._may_hold_text(node):
                self.doubts.append(f"it is not known which input of {name_of(source, node)} is the prompt")
            else:
                pending += [(source, name) for name in following]

    def _conditioning_inputs(self, node_id: str, output: int) -> list[str]:
        """Return the linked inputs from which an output's conditioning comes."""
        node = self.prompt[node_id]
        positives = _positives(node)
        negatives = [name for name, _ in _links(node) if _is_negative(name)]
        if not positives:
            links = [name for name, _ in _links(node)]
            # A node of a single input, whatever its name, hands that on.
            return links if len(node["inputs"]) == 1 else [name for name in links if _is_conditioning(name)]
        names = self.object_info.get(node["class_type"], {}).get("output_name")
        side = str(names[output]) if isinstance(names, list) and 0 <= output < len(names) else ""
        if _is_negative(side):
            return negatives
        # The first output that is conditioning is the positive one everywhere; which the others are is not known.
        if output == 0 or _is_positive(side):
            return positives
        self.doubts.append(f"output {output} of {name_of(node_id, node)} is not known to be positive or negative")
        return []

    def _may_hold_text(self, node: dict[str, Any]) -> bool:
        """Say whether a node from which nothing is followed encodes a text, or chooses among nodes that do."""
        behind = [self.prompt.get(link[0], {"inputs": {}})["inputs"] for _, link in _links(node)]
        return "clip" in node["inputs"] or any(name in inputs for inputs in behind for name in TEXTS)

    def _text(self, node_id: str, name: str, is_schedule: bool) -> Iterator[Place]:
        """Yield the place of one text, which may come from a node that holds nothing else."""
        seen = set()
        while not isinstance(self.prompt[node_id]["inputs"].get(name), str):
            node = self.prompt[node_id]
            if not is_link(node["inputs"].get(name)) or node_id in seen:
                self.doubts.append(f"{name_of(node_id, node)} gets its {name!r} in a way that is not known")
                return
            seen.add(node_id)
            node_id, _ = self._source(node_id, name)
            inputs = self.prompt[node_id]["inputs"]
            if len(inputs) != 1:
                self.doubts.append(f"the text comes from {name_of(node_id, self.prompt[node_id])}, which makes it of "
                                   f"{', '.join(inputs) or 'what the file does not say'}")
                return
            [name] = inputs
        yield Place(node_id, name, is_schedule)

    def _source(self, node_id: str, name: str) -> tuple[str, int]:
        source, output = self.prompt[node_id]["inputs"][name]
        if source not in self.prompt:
            raise WorkflowError(f"{name_of(node_id, self.prompt[node_id])} takes its {name!r} from node {source}, "
                                "which the workflow does not have")
        return source, output


KEY_FRAME = re.compile(r"""^\s*\{?\s*["'“„«]?(?:\d+%?|max_f[-+*/\d. ]*)["'”“»]?\s*[:：=]""", re.MULTILINE)
"""How a line of a prompt schedule begins: `8:`, `50%:`, `"max_f-1":`, `{"0":`."""


def as_schedule(text: str) -> str:
    """Return a prompt as a schedule for all frames; a text of which a line begins with a key frame is one."""
    if KEY_FRAME.search(text):
        return text
    return '0: "{}"'.format(text.replace('"', '\\"'))


def is_link(value: Any) -> bool:
    """Say whether an input's value is a link, [node id, output]."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def _links(node: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    return [(name, value) for name, value in node["inputs"].items() if is_link(value)]


def _positives(node: dict[str, Any]) -> list[str]:
    return [name for name, _ in _links(node) if _is_positive(name)]


def _is_positive(name: str) -> bool:
    return name.lower().startswith("positive")


def _is_negative(name: str) -> bool:
    return re.search("neg|uncond|empty", name.lower()) is not None


def _is_conditioning(name: str) -> bool:
    return _is_positive(name) or ("cond" in name.lower() and not _is_negative(name))

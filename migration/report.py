"""What became of a graph, for its owner to read."""

from __future__ import annotations

from dataclasses import dataclass, field

from .draft import Node


@dataclass
class Report:
    """What was mapped, where the result differs, and what was not mapped: {an old node's name: sentences}."""

    mapped: dict[str, list[str]] = field(default_factory=dict)
    differs: dict[str, list[str]] = field(default_factory=dict)
    left: dict[str, list[str]] = field(default_factory=dict)

    def became(self, node: Node, what: str) -> None:
        """Note what a node has become."""
        _note(self.mapped, node.name, what)

    def differs_at(self, node: Node, how: str) -> None:
        """Note that the result is another one than with the old pack."""
        _note(self.differs, node.name, how)

    def not_mapped(self, node: Node | str, why: str) -> None:
        """Note what the new graph lacks."""
        _note(self.left, node if isinstance(node, str) else node.name, why)

    def text(self, name: str) -> str:
        """Return the report on a file."""
        parts = [f"Report on {name}"]
        for title, notes, nothing in (("Mapped", self.mapped, "nothing: no node of an older pack was found"),
                                      ("Where the result differs", self.differs, "nowhere that is known"),
                                      ("Not mapped", self.left, "nothing")):
            lines = [f"- {node}: {'; '.join(sentences)}" for node, sentences in notes.items()]
            parts.append("\n".join([f"{title}:", *(lines or [f"- {nothing}"])]))
        return "\n\n".join(parts) + "\n"


def _note(notes: dict[str, list[str]], node: str, sentence: str) -> None:
    sentences = notes.setdefault(node, [])
    if sentence not in sentences:
        sentences.append(sentence)

"""The rows of a batch: from a table (CSV), from lines of JSON, or made of prompts and seeds."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..problems import WorkflowError
from ..workflow import value_of

PROMPT, SEED, WORKFLOW, NAME = "prompt", "seed", "workflow", "name"
"""The columns with a meaning of their own; all others are NODE.INPUT."""
TABLES = (".csv", ".jsonl")
SPREADSHEET = {"TRUE": True, "FALSE": False}
"""How spreadsheets write what JSON has in small letters."""


@dataclass(frozen=True)
class Row:
    """What one row sets, {column: value}, and where it stands, for messages."""

    place: str
    values: dict[str, Any]

    @property
    def label(self) -> str:
        """What is shown while it runs."""
        parts = [str(value) if column in (PROMPT, NAME) else f"{column} {value}"
                 for column, value in self.values.items() if column != WORKFLOW]
        return " ".join(", ".join(parts).split()) or "as saved"


def read_rows(path: Path) -> list[Row]:
    """Read a table: .csv with a header, or .jsonl with an object a line. Empty cells and null leave the workflow's own.

    Raises:
        WorkflowError: It is neither, or a line or column of it makes no sense.
    """
    read = {".csv": _from_csv, ".jsonl": _from_json_lines}.get(path.suffix.lower())
    if read is None:
        raise WorkflowError(f"{path} is no table of rows: expected a file that ends in .csv or .jsonl")
    rows = [Row(f"{path.name}, line {number}", values) for number, values in read(path)]
    if not rows:
        raise WorkflowError(f"{path} has no rows")
    for row in rows:
        for column in row.values:
            if column not in (PROMPT, SEED, WORKFLOW, NAME) and not column.partition(".")[2]:
                raise WorkflowError(f"{row.place}: the column {column!r} is none; expected prompt, seed, name, "
                                    "workflow or NODE.INPUT, such as KSampler.steps")
    return rows


def make_rows(texts: list[str], seeds: list[int]) -> list[Row]:
    """Return a row for every text with every seed; without any, one that leaves all as it is."""
    prompts: list[dict[str, Any]] = [{PROMPT: text} for text in texts] or [{}]
    draws: list[dict[str, Any]] = [{SEED: seed} for seed in seeds] or [{}]
    return [Row(f"row {number}", prompt | draw)
            for number, (prompt, draw) in enumerate(itertools.product(prompts, draws), 1)]


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file that hold something."""
    return [line.strip() for line in _lines(path) if line.strip()]


def _lines(path: Path) -> list[str]:
    """Return the lines of a file. What else Unicode has for an end of a line is a part of a text."""
    return _text(path).split("\n")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise WorkflowError(f"{path} is not text in UTF-8: {error}") from None


def _from_csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    text = _text(path)
    header = text.partition("\n")[0]
    # Some programs write semicolons or tabs, by the language of the system.
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        columns = _without_empty_end([column.strip() for column in next(reader, [])])
        if not columns or "" in columns or len(set(columns)) < len(columns):
            raise WorkflowError(f"{path.name}: expected a first line that names each column once, got {header!r:.200}")
        for cells in map(_without_empty_end, reader):
            if len(cells) > len(columns):
                raise WorkflowError(f"{path.name}, line {reader.line_num}: {len(cells)} cells under {len(columns)} "
                                    "columns; put texts that hold a comma in quotes")
            found = {column: cell for column, cell in zip(columns, cells, strict=False) if cell.strip()}
            if found:
                yield reader.line_num, {column: cell if column in (PROMPT, NAME, WORKFLOW)
                                        else SPREADSHEET.get(cell.strip(), value_of(cell))
                                        for column, cell in found.items()}
    except csv.Error as error:
        raise WorkflowError(f"{path.name}, line {reader.line_num}: {error}") from None


def _without_empty_end(cells: list[str]) -> list[str]:
    """Leave out the empty cells at the end, which spreadsheets write for columns that were used once."""
    while cells and not cells[-1].strip():
        cells = cells[:-1]
    return cells


def _from_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        values = value_of(line)
        if not isinstance(values, dict):
            raise WorkflowError(f"{path.name}, line {number}: expected a JSON object, got {line!r:.100}")
        yield number, {column: value for column, value in values.items() if value is not None}

"""Pages of docs/ that a command makes as a whole."""

from __future__ import annotations

import argparse

from .runner import ROOT

DOCS = ROOT / "docs"


def whole_or_elsewhere(parser: argparse.ArgumentParser, *partial: str) -> argparse.Namespace:
    """Return the arguments of a command whose option --docs is the folder of its page.

    Args:
        partial: Options with which the page is not that of the whole table on the embedded weights: it may not take the
            place of the one in docs/.
    """
    chosen = parser.parse_args()
    changed = [name for name in partial if getattr(chosen, name) != parser.get_default(name)]
    if changed and chosen.docs == DOCS:
        parser.error(f"with --{changed[0]} this is not the page of docs/, which is of the whole table on the embedded "
                     f"weights. Name another folder with --docs")
    return chosen

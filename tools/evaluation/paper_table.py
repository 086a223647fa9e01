"""The paper's tables in miniature, on the demo model: few-step samplers, ours, the guided teacher, and the ablations.

    python dev.py paper-table --seeds 5 --prompts 16

Killed and started again, it goes on where it was. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ...storage.atomic import write_text
from ..demo.sampler import DISTILLED
from .arguments import DOCS, whole_or_elsewhere
from .methods import SEEDS, compared, ours_of
from .page import PAGE
from .report import plain
from .runner import ROOT, Runner
from .sections import SECTIONS, Scope


def _arguments() -> argparse.Namespace:
    methods = list(compared(DISTILLED))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sections", nargs="*", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--methods", nargs="*", default=methods, choices=methods, help="of the tables of samplers")
    parser.add_argument("--motion", type=Path, help="another distilled motion file")
    parser.add_argument("--lora", type=Path, help="another distilled spatial LoRA")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="sets of prompts and noise, for the intervals")
    parser.add_argument("--prompts", type=int, default=16, help="clips of a run")
    parser.add_argument("--search-prompts", type=int, default=32, help="clips for each guidance that is tried")
    parser.add_argument("--ablation-steps", type=int, default=400, help="training steps of an ablation")
    parser.add_argument("--timings", type=int, default=3, help="pairs of runs that are timed; 0 times nothing")
    parser.add_argument("--folder", type=Path, default=ROOT / "output" / "paper-table",
                        help="where clips' figures and the ablations' weights go")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where paper-table.md and its plots go")
    return whole_or_elsewhere(parser, "sections", "methods", "motion", "lora")


def main() -> None:
    chosen = _arguments()
    parts = ours_of(chosen.motion, chosen.lora)
    scope = Scope(Runner(chosen.folder), parts, chosen.seeds, chosen.prompts, chosen.search_prompts, chosen.methods,
                chosen.ablation_steps, chosen.timings, chosen.docs)
    made = {name: section(scope) for name, section in SECTIONS.items() if name in chosen.sections}
    text = "\n\n".join(section.markdown() for section in made.values())
    page = PAGE.format(seeds=scope.seeds, prompts=scope.prompts, search_prompts=scope.search_prompts, sections=text,
                       ablation_steps=scope.ablation_steps, clips=(clips := scope.seeds * scope.prompts),
                       last=scope.seeds - 1, lowest=0.025 ** (1 / clips))
    write_text(scope.docs / "paper-table.md", page.rstrip() + "\n")
    figures = {name: {"rows": [plain(row) for row in section.rows], **section.claims}
               for name, section in made.items()}
    print(text, json.dumps({**figures, "seeds": scope.seeds, "prompts": scope.prompts}, allow_nan=False), sep="\n")


if __name__ == "__main__":
    main()

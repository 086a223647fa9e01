"""How a few-step network was trained, as its file says it: what a sampler has to follow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .errors import AGAIN, MotionFileError, short

METADATA = "animatelcm."
"""Prefix of what we write into a safetensors file's metadata."""
PHASES, GUIDED, HOW = "phases", "guided", "trained"
MOST_PHASES = 1000
"""As many as there are timesteps."""
COMMON_STEPS = 4
"""Of a few-step network of which nothing says for how many it is."""


@dataclass(frozen=True)
class Trained:
    """What decides how a few-step network is sampled; the defaults are the paper's."""

    phases: int = 1
    """Parts of the timesteps, each of which is a jump: as many steps, and no fresh noise between them. 1: none."""
    guided: bool = True
    """Whether the teacher had guidance, which is then in the weights; if not, it is the sampler's cfg."""
    how: str = ""
    """The other settings that are not the paper's, for the user."""

    @property
    def steps(self) -> int:
        """The number of steps that it was made for."""
        return COMMON_STEPS if self.phases == 1 else self.phases

    @property
    def sampling(self) -> str | None:
        """What to set in a sampler, for the user; None where the file's family says it."""
        if self == Trained(how=self.how):
            return None
        sampler = "lcm" if self.phases == 1 else "euler"
        return f"{self.steps} steps, cfg {'1' if self.guided else '2 to 7'}, sampler {sampler}, scheduler simple"

    @property
    def about(self) -> str:
        """What to say about it beside that, in one line without a full stop; nothing of the paper's own."""
        parts = [] if self.phases == 1 else [f"trained in {self.phases} phases"]
        if not self.guided:
            parts.append("without guidance: negative prompts work")
        if self.how:
            parts.append(self.how)
        return "; ".join(parts)

    def tuned(self, steps: int) -> Trained:
        """Return how the same network was trained once it is tuned to the rolling sampler of so many steps."""
        tuned = f"tuned to the Rolling Sampler at {steps} steps"
        return replace(self, how=f"{self.how}; {tuned}" if self.how else tuned)

    def facts(self) -> dict[str, str]:
        """Return the metadata of a file, of what is not the paper's alone."""
        facts = {PHASES: (self.phases, 1), GUIDED: (self.guided, True), HOW: (self.how, "")}
        return {METADATA + name: str(value) for name, (value, papers) in facts.items() if value != papers}


PAPERS = Trained()


def trained_of(metadata: Mapping[str, str]) -> Trained:
    """Return what the metadata of a file say; a file without any is the paper's.

    Raises:
        MotionFileError: They say what cannot be. The message goes on from the name of the file.
    """
    phases, guided = metadata.get(METADATA + PHASES, "1"), metadata.get(METADATA + GUIDED, "True")
    if not re.fullmatch(r"[0-9]{1,4}", phases) or not 1 <= int(phases) <= MOST_PHASES:
        raise MotionFileError(f"says that it was trained in {short(phases)} phases; expected a whole number from 1 to "
                              f"{MOST_PHASES}. {AGAIN}")
    if guided not in ("True", "False"):
        raise MotionFileError(f"says that its teacher was guided: {short(guided)}; expected True or False. {AGAIN}")
    return Trained(int(phases), guided == "True", short(metadata.get(METADATA + HOW, "")))

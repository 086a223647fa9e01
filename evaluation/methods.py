"""The rows of the paper's table: what is sampled, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..demo.files import LORA, MODELS, MOTION

FEW_STEPS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Method:
    """A way to make clips with the demo model."""

    name: str
    sampler: str
    """The host's name of the sampler."""
    scheduler: str
    """The host's name of the scheduler."""
    steps: tuple[int, ...] = FEW_STEPS
    cfgs: tuple[float, ...] = (1.0,)
    """Guidance, the best of which is chosen for each number of steps; 1 is without."""
    motion: Path | None = None
    """A motion file in place of the demo model's own."""
    lora: Path | None = None
    """A spatial LoRA."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What the method needs beside the demo model."""
        return tuple(path for path in (self.motion, self.lora) if path is not None)

    @property
    def missing(self) -> list[str]:
        """Return the names of the files that are not there."""
        return [path.name for path in self.files if not path.is_file()]


def methods(motion: Path | None = None, lora: Path | None = None) -> dict[str, Method]:
    """Return the methods of the table by name.

    Args:
        motion: Distilled motion file; by default the demo model's.
        lora: Distilled spatial LoRA; by default the demo model's.
    """
    baseline = {"cfgs": (1.0, 2.0, 4.0)}
    table = (
        Method("teacher", "euler", "normal", steps=(25,), cfgs=(3.0,)),
        Method("DDIM", "ddim", "normal", **baseline),
        Method("DPM++ 2M", "dpmpp_2m", "normal", **baseline),
        Method("AnimateLCM", "lcm", "simple", motion=motion or MODELS / MOTION,
               lora=lora or MODELS / LORA),
    )
    return {method.name: method for method in table}

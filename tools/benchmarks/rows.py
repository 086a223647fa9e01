"""Tables that grow as they are measured, so that whoever has to stop early keeps every row."""

from __future__ import annotations

from statistics import median

from .bench import count_flops, step, step_pairs, step_ratio
from .long_video_memory import tensor_peak

GIB = 2**30
STEP_COLUMNS = ("network", "frames", "cfg", "step, s", "over plain", "counted", "over counted", "peak, GiB")


class Table:
    """Prints a Markdown table row by row."""

    def __init__(self, title: str, *columns: str) -> None:
        print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
        self.width = len(columns)
        self.failed = False

    def add(self, *cells: object) -> None:
        """Print a row; what it lacks at its end stays empty."""
        texts = [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells]
        print(f"| {' | '.join([*texts, *[''] * (self.width - len(texts))])} |", flush=True)

    def add_failure(self, error: Exception, *cells: object) -> None:
        """Print a row of which nothing could be measured, so that the next one can be."""
        self.failed = True
        self.add(*cells, f"failed: {type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}")


class CountedRatios:
    """The counted operations of a step with the motion module over those of one without, by number of frames."""

    def __init__(self, plain, moving, pixels: int) -> None:
        self.plain, self.moving, self.pixels = plain, moving, pixels
        self.known: dict[int, float] = {}

    def of(self, frames: int) -> float:
        """Return the ratio, which guidance does not change."""
        if frames not in self.known:
            self.known[frames] = (count_flops(self.moving, self.pixels, frames)
                                  / count_flops(self.plain, self.pixels, frames))
        return self.known[frames]


def step_cells(model, plain, cfg: float, frames: int, pixels: int, runs: int) -> tuple[float, float]:
    """Return a MODEL's median seconds of a step and their ratio over those of the plain one, measured in turn."""
    if model is plain:
        step(plain, cfg, pixels, frames)
        return median(step(plain, cfg, pixels, frames) for _ in range(runs)), 1.0
    pairs = step_pairs((model, cfg), (plain, cfg), pixels, runs, frames)
    return median(seconds for seconds, _ in pairs), step_ratio(pairs)


def peak_gib(model, cfg: float, frames: int, pixels: int) -> float:
    """Return the GiB of a MODEL's weights, and of all other tensors at the peak of one of its steps."""
    weights = sum(each.model_size() for each in (model, *model.get_nested_additional_models()))
    return (weights + tensor_peak(lambda: step(model, cfg, pixels, frames))) / GIB

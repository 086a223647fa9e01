"""The page docs/long-video.md: its prose, its tables, and what they say in words."""

from __future__ import annotations

from collections.abc import Sequence

from ..report import said
from .columns import COLUMNS
from .figures import Row

TABLES = {
    "From frame to frame": ("seams", "highest", "restarts", "motion", "change"),
    "Over the whole video": ("identity", "colour", "texture", "subject", "way", "backdrop", "explained"),
    "Work": ("evaluations", "milliseconds"),
}
PAGE = """# Long Video or Rolling Sampler

Made by

    python dev.py long-video-table --seeds {seeds} --prompts {prompts} --frames {frames}{whole}

on the demo model: {videos} videos of {frames} frames in each row, 4 steps without guidance, the same prompts and seeds
in all rows. Figures are of all videos together, with approximate 95 % intervals from leaving out each of {seeds} seeds.
Subject, direction and background are looked for in the first {stretch} frames, in as many from every {step}th on, and
in the last ones; change is measured in all frames.

![The same prompts and seeds in each of the ways](long-video.webp)

## When to use which

Some of it follows from how they work, whatever the figures say:

| | Long Video | Rolling Sampler |
|---|---|---|
| loops | yes | no: it never knows the end at the start |
| many-step modules, guidance with 25 steps | yes | no: a window has room for few levels |
| videos of thousands of frames | all latents and pictures are in memory at the end | in that of one window, \
with Record Video |
| a longer video with the same seed | is another video | begins as the shorter one |
| frames that are watched while others are still to come | no | yes, with Record Video |

The rest was measured. A difference is counted where its interval, over the same seeds, leaves out zero. A video that
stands still would lead in the columns that count changes: read them together with motion and direction.

{verdicts}

## The figures

{tables}

![What becomes of identity, colour and texture](long-video.png)

*Tuned module* is the same motion module after {tuning_steps} steps of *Adapt Motion Module*, on {tuning_clips} clips
that it had made itself. *16 frames in one piece* is what the same model does with a single clip.

{variants}## What each column sees, and what it does not

{legend}

The world's clips have 16 frames. In {frames} frames a subject with the world's speed crosses the picture several times,
which no module was trained for: a model has to stop it, let it come back, or begin anew. That is why restarts and
direction have to be read together.
"""
VARIANTS = """## Variants

{tables}

- *tuned on the world's clips*: on those that the demo model was trained on, in place of its own.
- *8 anchors*, *at half the lowest noise*, *without noise*: other finished frames in front of the rolling queue.
- *queue in 2 parts*: latent partitioning of FIFO-Diffusion (Kim et al. 2024). The queue is longer than the window, so
  that the frames of a call differ less in noise.
- *lookahead*: lookahead denoising of the same paper. Each call computes the noisier half of its window.
- *the same noise over and over*: that of the first 16 frames, in another order each time (FreeNoise, Qiu et al. 2023).
- *new frames begin as the last one*: its prediction is beside the noise in which they begin.
- Levels of unequal size are no row: as many frames leave a level as enter it, so that a larger one would only let its
  frames wait.

{verdicts}

"""


def table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return the rows as a Markdown table of the named figures."""
    lines = ["| | " + " | ".join(COLUMNS[name].title for name in columns) + " |", "|---" * (1 + len(columns)) + "|"]
    lines += [f"| {row.name} | " + " | ".join(said(row.figures[name]) for name in columns) + " |" for row in rows]
    return "\n".join(lines)


def tables(rows: Sequence[Row]) -> str:
    """Return the tables of all figures."""
    return "\n\n".join(f"**{title}**\n\n{table(rows, columns)}" for title, columns in TABLES.items())

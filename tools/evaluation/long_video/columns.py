"""The columns of the page: what they are called, what they see, and what they do not see."""

from __future__ import annotations

from dataclasses import dataclass

from ....demo.scenes import FASTEST
from ..verdicts import Score, higher, lower, nearer
from .measure import JUMP


@dataclass(frozen=True)
class Column:
    """A figure of Figures."""

    title: str
    what: str
    sees: str
    blind: str
    score: Score | None = None
    """By which one is better than another; None: it is not judged."""


COLUMNS = {
    "seams": Column(
        "seams", "mean change of the pixels between frames where parts meet, over that elsewhere; 1 is no seam, less "
        "a blend. Parts meet in all frames that windows share, and between the groups of frames that leave the rolling "
        "queue", "cuts and blends", "a change that takes longer than the blend. With overlap 8 there is no elsewhere",
        nearer),
    "highest": Column("highest change", "the largest change between two frames over the median one", "a jump anywhere",
                      "how many there are. A video that stands still has none", lower),
    "restarts": Column(
        "restarts", f"how many of 100 steps of the subject are longer than {JUMP:g} pixels; the world's fastest goes "
        f"{FASTEST:g}", "a movement that begins anew, a subject that fades out here and in there",
        "a subject that stops, or turns. One whose sides are alike, as the crab, is sometimes found elsewhere: "
        "the world's clips through the codec do not have 0 either", lower),
    "motion": Column("motion", "mean of all other steps over what the scene asks for", "too little movement",
                     "where to"),
    "change": Column("unexplained change", "change that no movement of 16 x 16 blocks explains",
                     "flicker, shapes that change", "what is lost, or stands still", lower),
    "identity": Column(
        "identity kept", "share of the stretches of 16 frames after the first that show its subject before its "
        "background", "a horse that becomes a dog, a meadow that becomes a desert", "the same subject in other colours",
        higher),
    "colour": Column(
        "drift of colour", "distance of the background's colours, line by line, in the last quarter from those in the "
        "first 16 frames, 0 to 1", "colours that fade or burn",
        "where all of the video is wrong in the same way, or stands still", lower),
    "texture": Column(
        "texture at the end", "energy of the background's moving texture in the last quarter over that in the first 16 "
        "frames; 1 is all of it", "a background that is smoothed away, or noise that grows",
        "whether it is the right texture"),
    "subject": Column("subject", "share of the stretches after the first that show what the prompt says",
                      "a wrong subject", "how well it is drawn", higher),
    "way": Column("direction", "the same", "a wrong way", "how it is held", higher),
    "backdrop": Column("background", "the same", "a wrong place", "how well it is drawn", higher),
    "explained": Column("explained foreground", "share of the subject that is as it should be",
                        "missing limbs, smears", "shadow and trail", higher),
    "evaluations": Column("evaluations per frame", "frames that the network was called with, over those of the video",
                          "the work, on any machine", "text and codec", lower),
    "milliseconds": Column("ms per frame", "time of the sampling alone, median of the videos, on the machine that made "
                           "the page", "what a user waits for", "what else the machine did"),
}
"""By the names of Figures."""


def legend() -> str:
    """Return a Markdown table that says what each column is."""
    lines = ["| column | what it is | it sees | it does not see |", "|---|---|---|---|"]
    lines += [f"| {column.title} | {column.what} | {column.sees} | {column.blind} |" for column in COLUMNS.values()]
    return "\n".join(lines)

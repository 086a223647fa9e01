"""The columns of the page: what they are called, what they see, and what they do not see."""

from __future__ import annotations

from dataclasses import dataclass

from ....demo.scenes import FASTEST
from .measure import JUMP


@dataclass(frozen=True)
class Column:
    """A figure of Figures."""

    title: str
    what: str
    sees: str
    blind: str
    better: int = 0
    """1 where more is better, -1 where less is; 0 where neither is praise."""


COLUMNS = {
    "seams": Column(
        "seams", "mean change of the pixels between frames where parts meet, over the median change elsewhere; 1 is no "
        "seam. Parts meet in all frames that windows share, and between the groups of frames that leave the rolling "
        "queue", "cuts and blends", "a change that takes longer than the blend. With overlap 8 there is no elsewhere",
        -1),
    "highest": Column("highest change", "the largest change between two frames over the median one", "a jump anywhere",
                      "how many there are", -1),
    "restarts": Column(
        "restarts", f"how many of 100 steps of the subject are longer than {JUMP:g} pixels; the world's fastest goes "
        f"{FASTEST:g}", "a movement that begins anew, a subject that fades out here and in there",
        "a subject that stops, or turns. 0.5 is what the world's clips through the codec have: the crab, whose sides "
        "are alike, is sometimes found elsewhere", -1),
    "motion": Column("motion", "mean of all other steps over what the scene asks for", "too little movement",
                     "where to"),
    "change": Column("unexplained change", "change that no movement of 16 x 16 blocks explains",
                     "flicker, shapes that change", "what is lost", -1),
    "identity": Column(
        "identity kept", "share of the stretches of 16 frames after the first that show its subject before its "
        "background", "a horse that becomes a dog, a meadow that becomes a desert", "the same subject in other colours",
        1),
    "colour": Column(
        "drift of colour", "distance of the background's colours, line by line, in the last quarter from those in the "
        "first 16 frames, 0 to 1", "colours that fade or burn", "where all of the video is wrong in the same way", -1),
    "texture": Column(
        "texture at the end", "energy of the background's moving texture in the last quarter over that in the first 16 "
        "frames; 1 is all of it", "a background that is smoothed away, or noise that grows",
        "whether it is the right texture"),
    "subject": Column("subject", "share of all stretches that show what the prompt says", "a wrong subject",
                      "how well it is drawn", 1),
    "way": Column("direction", "the same", "a wrong way", "how it is held", 1),
    "backdrop": Column("background", "the same", "a wrong place", "how well it is drawn", 1),
    "explained": Column("explained foreground", "share of the subject that is as it should be",
                        "missing limbs, smears", "shadow and trail", 1),
    "evaluations": Column("evaluations per frame", "frames that the network was called with, over those of the video",
                          "the work, on any machine", "text and codec", -1),
    "milliseconds": Column("ms per frame", "time of the sampling alone, median of the videos, on the machine that made "
                           "the page", "what a user waits for", "what else the machine did", -1),
}
"""By the names of Figures."""


def legend() -> str:
    """Return a Markdown table that says what each column is."""
    lines = ["| column | what it is | it sees | it does not see |", "|---|---|---|---|"]
    lines += [f"| {column.title} | {column.what} | {column.sees} | {column.blind} |" for column in COLUMNS.values()]
    return "\n".join(lines)

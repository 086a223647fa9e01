"""Captions of the world's scenes, as people would type them, and what a prompt says about a scene."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .backdrops import BACKDROPS
from .scenes import WAYS, Scene
from .subjects import NAMES, SUBJECTS, Subject
from .words import split

SIZES = {"small": (0.0, 90.0), "big": (100.0, 999.0)}
"""Words for the longer side of a subject in pixels, from and up to."""
LOOKS = ("cute", "funny", "beautiful", "happy")
"""Words that say nothing."""
OPENINGS = ("a video of", "a clip of", "an animation of", "a picture of", "there is")
GOES = ("moving", "going")
RISES, SINKS = ("flying", "jumping", "climbing", "floating"), ("falling", "flying", "floating", "sinking")
"""What any subject does upwards and downwards, besides moving."""
STANDS = ("standing", "waiting", "standing still", "staying in place")
HOVERS = ("hovering", "waiting", "staying in place")
"""What a subject does in place, one with a shadow and one without."""
STILL = ("standing", "waiting", "still", "staying", "dancing", "waving", "hovering")
"""Words that say that a subject stays where it is, unless a way is said."""


@dataclass(frozen=True)
class Said:
    """What a prompt says; None where it leaves that open."""

    subject: str | None = None
    kind: str | None = None
    """Class word, if there is no name."""
    way: str | None = None
    backdrop: str | None = None


def caption(scene: Scene, rng: random.Random | None = None) -> str:
    """Say what the scene shows; with `rng` the words vary, and parts stay unsaid."""
    subject, backdrop = SUBJECTS[NAMES.index(scene.subject)], BACKDROPS[scene.backdrop]
    if rng is None:
        doing = _doing(subject, scene.way, None)
        return f"{article(subject.words[0])} {doing} {backdrop.phrases[0]}"
    place = rng.choice(backdrop.phrases) if rng.random() < 0.85 else ""
    what = _name(scene, subject, rng)
    doing = _doing(subject, scene.way, rng) if rng.random() < 0.92 else ""
    if doing and rng.random() < 0.12:
        doing = f"is {doing}"
    elif rng.random() < 0.12:
        what = f"{rng.choice(OPENINGS)} {what}"
    parts = [place, what, doing] if place and rng.random() < 0.08 else [what, doing, place]
    return " ".join(part for part in parts if part)


def loose_caption(scene: Scene) -> str:
    """Say less of the scene: the kind of its subject, or the name where that has none, what it does, and no place."""
    subject = SUBJECTS[NAMES.index(scene.subject)]
    name = subject.classes[0] if subject.classes else subject.words[0]
    return f"{article(name)} {_doing(subject, scene.way, None)}"


def article(words: str) -> str:
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}"


def _name(scene: Scene, subject: Subject, rng: random.Random) -> str:
    """Return a name of the subject or of its kind, with an article and sometimes a word before it."""
    classes = subject.classes if rng.random() < 0.15 else ()
    name = rng.choice(classes) if classes else subject.words[0] if rng.random() < 0.75 else rng.choice(subject.words)
    looks = []
    if rng.random() < 0.3:
        looks += [word for word, (least, most) in SIZES.items() if least <= scene.size < most]
    if rng.random() < 0.12:
        looks.append(rng.choice(LOOKS))
    if subject.looks and not classes and rng.random() < 0.2:
        looks.append(subject.looks)
    words = " ".join([*looks, name])
    return rng.choice(["the", "one"]) + f" {words}" if rng.random() < 0.08 else article(words)


def _doing(subject: Subject, way: str, rng: random.Random | None) -> str:
    """Say what the subject does and where to."""
    if way == "still":
        rests = STANDS if subject.stands else HOVERS
        if rng is None:
            return next((act for act in subject.acts if act in STILL), rests[0])
        return rng.choice(subject.acts if subject.acts and rng.random() < 0.6 else rests)
    verbs = {"up": RISES, "down": SINKS}.get(way, subject.verbs)
    if rng is None:
        return f"{verbs[0]} {way}"
    verb = rng.choice(verbs if rng.random() < 0.65 else GOES)
    if rng.random() < 0.06:
        return verb
    sideways = way in ("left", "right") and rng.random() < 0.25
    return f"{verb} to the {way}" if sideways else f"{verb} {way}"


def read(prompt: str) -> Said:
    """Return what a prompt says, from single words, whatever their order."""
    said = split(prompt)
    subject = next((known.words[0] for known in SUBJECTS if set(known.words) & set(said)), None)
    kinds = {kind for known in SUBJECTS for kind in known.classes}
    kind = None if subject else next((word for word in said if word in kinds), None)
    way = next((word for word in said if word in WAYS and word != "still"), None)
    if way is None and set(said) & set(STILL):
        way = "still"
    backdrop = next((name for name in BACKDROPS if set(said) & marks(name)), None)
    return Said(subject, kind, way, backdrop)


def marks(backdrop: str) -> set[str]:
    """Return the words that only phrases of this background have."""
    said = {name: set(split(" ".join(known.phrases))) for name, known in BACKDROPS.items()}
    others = set().union(*(words for name, words in said.items() if name != backdrop))
    return said[backdrop] - others - {"while", "it", "is", "day", "under", "among"}


def words() -> list[str]:
    """Return all words that captions are made of, in a fixed order."""
    texts = ["a the one is to of", *GOES, *WAYS, *RISES, *SINKS, *STANDS, *HOVERS, *SIZES, *LOOKS, *OPENINGS]
    texts += [phrase for known in BACKDROPS.values() for phrase in known.phrases]
    for known in SUBJECTS:
        texts += [*known.words, *known.classes, *known.verbs, *known.acts, known.looks]
    return list(dict.fromkeys(word for text in texts for word in split(text)))

"""How the demo model hears words: which ones mean the same here."""

from __future__ import annotations

import re

ALIASES = {
    "an": "a", "large": "big", "huge": "big", "giant": "big", "little": "small", "tiny": "small",
    "leftwards": "left", "leftward": "left", "rightwards": "right", "rightward": "right", "upwards": "up",
    "upward": "up", "downwards": "down", "downward": "down", "backdrop": "background", "movie": "video",
    "moves": "moving", "goes": "going", "flies": "flying", "runs": "running", "walks": "walking", "swims": "swimming",
    "drives": "driving", "rides": "riding", "jumps": "jumping", "hops": "hopping", "falls": "falling",
    "climbs": "climbing", "floats": "floating", "dances": "dancing", "waves": "waving", "stands": "standing",
    "waits": "waiting", "hovers": "hovering", "skis": "skiing", "crawls": "crawling", "rises": "climbing",
    "rising": "climbing", "sinks": "sinking", "stays": "staying", "gallops": "galloping", "cycles": "cycling",
    "jogging": "running", "jogs": "running", "sleeping": "standing", "sitting": "standing", "sits": "standing",
    "nighttime": "night", "snowy": "snow", "rainy": "rain", "raining": "rain", "snowing": "snow", "starry": "stars",
    "cloudy": "clouds", "cloud": "clouds", "star": "stars", "seas": "sea", "underwater": "water", "lawn": "grass",
    "creature": "animal", "animals": "animal", "someone": "person", "somebody": "person", "human": "person",
    "people": "person", "girl": "woman", "lady": "woman", "guy": "man", "boy": "man", "jogger": "runner",
    "puppy": "dog", "kitty": "cat", "dino": "dinosaur", "ladybird": "ladybug", "honeybee": "bee", "bumblebee": "bee",
    "aeroplane": "airplane", "aircraft": "airplane", "jet": "airplane", "biker": "cyclist", "vehicles": "vehicle",
}
"""Words that mean what another one does here."""


def split(text: str) -> list[str]:
    """Return the words of a text, each as the model knows it, if it does."""
    return [ALIASES.get(word, word) for word in re.findall(r"[a-z]+", text.lower())]

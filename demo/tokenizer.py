"""The words that the demo model knows, and the tokenizer that splits a prompt into them."""

from __future__ import annotations

import logging

from .backdrops import BACKDROPS
from .captions import words
from .scenes import WAYS
from .subjects import NAMES
from .words import split

CONTEXT_DIM = 64
"""Channels of a token's embedding."""
MAX_TOKENS = 24
"""Tokens of one encoded prompt, with the start and the end token; a longer prompt becomes several."""
VOCABULARY = ["<start>", "<end>", *words()]


class WordTokenizer:
    """One token a word, with the interface that the host's tokenizer asks of a Hugging Face one."""

    @classmethod
    def from_pretrained(cls, path: str) -> WordTokenizer:
        return cls()

    def get_vocab(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(VOCABULARY)}

    def __call__(self, text: str) -> dict[str, list[int]]:
        """Split `text` into the tokens of its known words, between the start and the end token."""
        said = split(text)
        unknown = sorted({word for word in said if word not in VOCABULARY})
        if unknown:
            logging.warning("The demo model does not know %s. It draws %s; %s; %s.", ", ".join(map(repr, unknown)),
                            ", ".join(NAMES), ", ".join(way for way in WAYS if way != "still"),
                            ", ".join(known.phrases[0] for known in BACKDROPS.values()))
        known = [VOCABULARY.index(word) for word in said if word in VOCABULARY]
        return {"input_ids": [VOCABULARY.index("<start>"), *known, VOCABULARY.index("<end>")]}

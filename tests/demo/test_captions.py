"""Captions say what their scenes show, in words that the demo model knows."""

import random
from dataclasses import replace

from animatelcm.demo.captions import Said, caption, loose_caption, marks, read
from animatelcm.demo.scenes import BACKDROPS, NAMES, WAYS, Scene, random_scene
from animatelcm.demo.tokenizer import MAX_TOKENS, VOCABULARY, WordTokenizer
from animatelcm.demo.words import split


def test_a_full_caption_reads_back_as_its_scene():
    scene = random_scene(random.Random(0))
    for name in NAMES:
        for way in WAYS:
            for backdrop in BACKDROPS:
                text = caption(replace(scene, subject=name, way=way, backdrop=backdrop))
                assert read(text) == Said(name, None, way, backdrop), text


def test_a_varied_caption_never_says_what_is_not_there():
    rng, unsaid = random.Random(0), {"subject": 0, "way": 0, "backdrop": 0}
    for _ in range(4000):
        scene = random_scene(rng)
        text = caption(scene, rng)
        said = read(text)
        for part in unsaid:
            assert getattr(said, part) in (None, getattr(scene, part)), text
            unsaid[part] += getattr(said, part) is None
        assert said.subject or said.kind, text
        assert len(split(text)) <= MAX_TOKENS - 2
        assert set(split(text)) <= set(VOCABULARY), text
    assert all(0.05 < count / 4000 < 0.3 for count in unsaid.values()), unsaid


def test_captions_as_people_would_type_them():
    assert caption(Scene("penguin", "left", "snow")) == "a penguin running left in the snow"
    assert caption(Scene("rocket", "up", "night")) == "a rocket flying up at night"
    assert read("An aeroplane flies upwards among the clouds!") == Said("plane", None, "up", "sky")
    assert read("an animal waits while it is raining") == Said(None, "animal", "still", "rain")


def test_the_vocabulary_is_small_and_says_which_words_it_lacks(caplog):
    assert 100 < len(VOCABULARY) == len(set(VOCABULARY)) < 250
    tokens = WordTokenizer()("a purple penguin")["input_ids"]
    assert [VOCABULARY[token] for token in tokens] == ["<start>", "a", "penguin", "<end>"]
    assert "'purple'" in caplog.text


def test_every_background_has_words_of_its_own():
    assert all(marks(name) for name in BACKDROPS)


def test_a_loose_caption_says_the_kind_and_the_way_alone():
    assert loose_caption(Scene("penguin", "left", "snow")) == "an animal running left"
    assert loose_caption(Scene("ghost", "up", "snow")) == "a ghost flying up"
    for name in NAMES:
        said = read(loose_caption(Scene(name, "right", "sea")))
        assert said.way == "right" and said.backdrop is None and (said.subject is None) != (said.kind is None)
